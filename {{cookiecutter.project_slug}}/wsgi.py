"""What the server loads: `gunicorn wsgi:app`. Production unless APP_CONFIG says otherwise."""

from __future__ import annotations

import gc
import os

from dotenv import load_dotenv

from app import create_app

load_dotenv()
app = create_app(os.environ.get("APP_CONFIG") or "production")

# What exists by now lives as long as the process. Frozen, it is not looked through again each time
# that Python looks for garbage, while every request waits.
gc.collect()
gc.freeze()
