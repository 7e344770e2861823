"""The same service in Litestar: its own CORS and rate limits, and python-json-logger."""

# mypy: disable-error-code="import-not-found, untyped-decorator, no-any-unimported, misc"

from __future__ import annotations

from litestar import Litestar, get
from litestar.config.cors import CORSConfig
from litestar.middleware.rate_limit import RateLimitConfig

from benchmarks.duties import ORIGIN
from benchmarks.peers.asgi import LogAndSecure, settings


@get("/api/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}


def limit(text: str) -> RateLimitConfig:
    """:param text: for example 50 per hour; each limit counts in a store of its own."""
    amount, _, unit = text.split()
    return RateLimitConfig(rate_limit=(unit, int(amount)), store=f"limit-per-{unit}")


app = LogAndSecure(
    Litestar(
        route_handlers=[ping],
        middleware=[limit(text).middleware for text in settings["limits"].split(";")],
        cors_config=CORSConfig(allow_origins=[ORIGIN], allow_credentials=True),
        logging_config=None,
        openapi_config=None,
    )
)
