"""GET /api/ping: the smallest response that passes through every middleware."""

from __future__ import annotations

from flask import Blueprint

from app.extensions import public

api_blueprint = Blueprint("api", __name__, url_prefix="/api")


@api_blueprint.get("/ping")
@public
def ping() -> dict[str, str]:
    return {"message": "pong"}
