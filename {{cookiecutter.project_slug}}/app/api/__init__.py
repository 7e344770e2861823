"""The blueprints of the service, registered in one place."""

from __future__ import annotations

from flask import Flask

from app.api.health import health_blueprint
from app.api.orders import orders_blueprint
from app.api.ping import api_blueprint


def register_blueprints(app: Flask) -> None:
    app.register_blueprint(health_blueprint)
    app.register_blueprint(api_blueprint)
    app.register_blueprint(orders_blueprint)
