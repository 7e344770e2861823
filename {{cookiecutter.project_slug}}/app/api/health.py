"""GET /health: the process is alive. GET /ready: it can do its work, and how well.

Neither is limited or authenticated, so that a load balancer can ask as often as it likes.
"""

from __future__ import annotations

from flask import Blueprint, current_app

from app.extensions import limiter, public

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
    """200 in both cases: without its store the service answers too, with its part of the limits."""
    limits = current_app.extensions.get("rate_limiting")
    degraded = limits is not None and limits.degraded
    return {
        "status": "degraded" if degraded else "ok",
        "rate_limiting": limits.state if limits else "off",
    }
