"""The service: create_app() is its table of contents."""

from __future__ import annotations

from flask import Flask

from app.api import register_blueprints
from app.checks import configure_checks
from app.config import config_by_name
from app.errors import configure_errors
from app.first_page import configure_first_page
from app.flask_settings import check_flask_settings
from app.middleware.authentication import configure_authentication
from app.middleware.cors import configure_cors
from app.middleware.csrf import configure_csrf_protection
from app.middleware.logging import configure_request_logging
from app.middleware.metrics import configure_metrics
from app.middleware.proxy import configure_proxy
from app.middleware.rate_limiting import configure_rate_limiting
from app.middleware.security import configure_security_headers
from app.middleware.user_agents import configure_user_agent_blocking
from app.middleware.validation import configure_request_validation
from app.tokens import token_verifier


def create_app(config_name: str | None = None) -> Flask:
    """Build the application.

    :param config_name: "development" (the default), "testing" or "production".
    :raises ValueError: if the name or a configuration key is wrong; the message says what to write.
    """
    config_name = config_name or "development"
    if config_name not in config_by_name:
        raise ValueError(
            f"unknown configuration {config_name!r}: use one of {', '.join(config_by_name)}"
        )

    app = Flask(__name__)
    app.config.from_object(config_by_name[config_name])
    app.config.from_prefixed_env()  # FLASK_CORS_ORIGINS, FLASK_RATELIMIT_DEFAULT, ...
    check_flask_settings(app.config)

    configure_proxy(app)  # who is asking, behind N trusted proxies
    configure_request_logging(app)  # every response gets an id, a time, one line
    configure_metrics(app)  # what the log counts, in numbers; off until it has a token
    configure_cors(app)  # so that a browser can read every response, errors too
    configure_first_page(app)  # in development, before limits and keys
    configure_csrf_protection(app)  # so that no page of another site changes anything
    configure_rate_limiting(app)  # before authentication: guessing keys is limited
    configure_user_agent_blocking(app)
    configure_authentication(app, verify_token=token_verifier(app))
    configure_request_validation(app)
    configure_security_headers(app)

    configure_errors(app)  # every error as problem+json, with the request id
    register_blueprints(app)
    configure_checks(app)  # last: `flask check`, and production refuses to start on an error
    return app
