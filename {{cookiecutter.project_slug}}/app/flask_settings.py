"""Flask's own settings, read and checked at start; Flask by itself uses them late, as they came.

FLASK_SESSION_COOKIE_HTTPONLY=False would be text, and so true; FLASK_PERMANENT_SESSION_LIFETIME=abc
a 500 at the first login. Those of hosts, bodies and forms are read by validation.py. Flask-Login's
are here where app/config.py names them.
"""

from __future__ import annotations

from datetime import timedelta

from flask import Config, Flask

from app.middleware.engine.settings import is_missing, read_boolean, read_text, read_whole_number

BOOLEANS = [key for key, default in Flask.default_config.items() if isinstance(default, bool)]
BOOLEANS += ["PROPAGATE_EXCEPTIONS", "TEMPLATES_AUTO_RELOAD", "TRAP_BAD_REQUEST_ERRORS"]
BOOLEANS += ["DEBUG", "REMEMBER_COOKIE_SECURE", "REMEMBER_COOKIE_HTTPONLY"]
DEBUG = {"1": True, "yes": True, "0": False, "no": False}  # FLASK_DEBUG=1, as `flask` reads it
TEXTS = {  # a pattern, and an example
    "SESSION_COOKIE_NAME": (r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "session"),
    "SESSION_COOKIE_DOMAIN": (r"[\w.-]+", "example.com"),
    "SESSION_COOKIE_PATH": (r"/[^\s;]*", "/"),
    "SESSION_COOKIE_SAMESITE": (r"(?i:lax|strict|none)", "Lax"),
    "REMEMBER_COOKIE_SAMESITE": (r"(?i:lax|strict|none)", "Lax"),
    "APPLICATION_ROOT": (r"/[^\s;?#]*", "/shop"),
    "PREFERRED_URL_SCHEME": (r"https?", "https"),
    "SERVER_NAME": (
        r"([\w-]{1,63}(\.[\w-]{1,63})*\.?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?",
        "api.example.com, with :8443 for another port",
    ),
}
NUMBERS = {  # the least, the most, and an example
    "PERMANENT_SESSION_LIFETIME": (1, 10**9, 2678400),  # seconds
    "SEND_FILE_MAX_AGE_DEFAULT": (0, 10**9, 3600),  # seconds
    "MAX_COOKIE_SIZE": (0, 10**6, 4093),  # bytes, only for a warning in the log
}


def check_flask_settings(config: Config) -> None:
    """What is missing, None or "" has Flask's default, or Flask-Login's.

    :raises ValueError: naming the key, its value and what to write instead.
    """
    if (debug := str(config["DEBUG"]).strip().lower()) in DEBUG:
        config["DEBUG"] = DEBUG[debug]
    for key in (*BOOLEANS, *TEXTS, *NUMBERS):
        value = config.get(key)
        if is_missing(value) and key not in Flask.default_config:
            config.pop(key, None)
        elif is_missing(value):
            config[key] = Flask.default_config[key]
        elif key in BOOLEANS:
            config[key] = read_boolean(config, key, False)
        elif key in TEXTS:
            pattern, example = TEXTS[key]
            config[key] = read_text(config, key, "", pattern, example)
        elif not isinstance(value, timedelta):
            least, most, number = NUMBERS[key]
            config[key] = read_whole_number(config, key, number, least, most)
