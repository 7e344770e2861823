"""Settings by environment. Any key here is overridden by FLASK_<KEY> in the environment or .env.

The middleware files document their own keys; what is not named here has the default given there.
"""

from __future__ import annotations


class Config:
    # What the template's questions set.
    CORS_ORIGINS = ["http://localhost:3000"]
    RATELIMIT_DEFAULT = "200 per hour;50 per minute"
    TRUSTED_PROXIES = 0
    RATELIMIT_KEY_PREFIX = "flask-service"

    RATELIMIT_STORAGE_URI = "memory://"  # a store: FLASK_RATELIMIT_STORAGE_URI, for gunicorn too
    MAX_CONTENT_LENGTH = 1024 * 1024  # bytes

    # Flask's session cookie; production adds to it. REMEMBER_COOKIE_* is Flask-Login's.
    SESSION_COOKIE_HTTPONLY = True
    SESSION_COOKIE_SAMESITE = "Lax"
    REMEMBER_COOKIE_HTTPONLY = True
    REMEMBER_COOKIE_SAMESITE = "Lax"


class DevelopmentConfig(Config):
    SECRET_KEY = "development only: production refuses to start with it"  # noqa: S105
    LOG_FORMAT = "text"
    FIRST_PAGE = True  # GET / in a browser on this machine
    CORS_DEBUG = True  # why a page may not read a response stands in its headers, too


class TestingConfig(Config):
    __test__ = False  # its name begins like a test's, and pytest looks

    TESTING = True
    SECRET_KEY = "testing only: production refuses to start with this one"  # noqa: S105


class ProductionConfig(Config):
    PRODUCTION = True  # what `flask check` calls an error refuses to start; CHECKS_SILENCED accepts
    SECRET_KEY = None  # FLASK_SECRET_KEY, at least 32 characters

    # Over https only, and for this very host: with SESSION_COOKIE_SECURE = False, a domain or a
    # path the cookie needs a name without the prefix __Host-, or no browser takes it.
    SESSION_COOKIE_SECURE = True
    SESSION_COOKIE_NAME = "__Host-session"
    REMEMBER_COOKIE_SECURE = True


config_by_name: dict[str, type[Config]] = {
    "development": DevelopmentConfig,
    "testing": TestingConfig,
    "production": ProductionConfig,
}
