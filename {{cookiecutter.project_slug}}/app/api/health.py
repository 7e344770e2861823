"""GET /health: the process is alive. GET /ready: it can do its work, and how well.

Neither is limited or authenticated, so that a load balancer can ask as often as it likes.
"""

from __future__ import annotations

from flask import Blueprint, current_app, request

from app.extensions import limiter, public

STATUSES = {"fallback": "degraded", "unknown": "unknown"}  # by where the limits are counted

health_blueprint = Blueprint("health", __name__)


@health_blueprint.get("/health")
@limiter.exempt
@public
def health() -> dict[str, str]:
    return {"status": "ok"}


@health_blueprint.get("/ready")
@limiter.exempt
@public
def ready() -> tuple[dict[str, str], int]:
    """200, without its store as well: the service goes on, with its part of the limits. 503 while
    the server drains: it stops soon, and a load balancer shall ask others."""
    limits = current_app.extensions.get("rate_limiting")
    state = limits.state if limits else "off"
    if request.environ.get("service.draining"):
        return {"status": "draining", "rate_limiting": state}, 503
    return {"status": STATUSES.get(state, "ok"), "rate_limiting": state}, 200
