"""GET /health: the process is alive. GET /ready: it can do its work, and how well.

Neither is limited or authenticated, so that a load balancer can ask as often as it likes.
"""

from __future__ import annotations

from flask import Blueprint, current_app

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
def ready() -> dict[str, str]:
    """200 in all cases: without its store the service goes on, with its part of the limits."""
    limits = current_app.extensions.get("rate_limiting")
    state = limits.state if limits else "off"
    return {"status": STATUSES.get(state, "ok"), "rate_limiting": state}
