"""How gunicorn serves this service: gunicorn.conf.py has the settings, this folder what they do."""
