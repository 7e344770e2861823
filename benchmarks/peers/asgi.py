"""What FastAPI and Litestar have no middleware of their own for: one line per request, headers.

Plain ASGI, as the decorator `@app.middleware("http")` of the tutorials costs half of the speed.
"""

# mypy: disable-error-code="import-not-found, no-any-unimported"

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from typing import Any

from pythonjsonlogger.json import JsonFormatter
from starlette.datastructures import Headers, MutableHeaders

from benchmarks.duties import SECURITY_HEADERS

settings: dict[str, Any] = json.loads(os.environ["BENCH_SETTINGS"])
logger = logging.getLogger("requests")


def log_into_file() -> None:
    handler = logging.FileHandler(settings["log"])
    handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


class LogAndSecure:
    """One line per request, its id, and the security headers."""

    def __init__(self, app: Any) -> None:
        self.app = app
        log_into_file()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        asked = Headers(scope=scope)
        request_id = asked.get("X-Request-ID") or str(uuid.uuid4())
        status = 500

        async def send_more(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
            await send(message)

        await self.app(scope, receive, send_more)
        logger.info(
            "request",
            extra={
                "request_id": request_id,
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "duration_ms": round((time.perf_counter() - start) * 1000, 2),
                "remote_addr": scope["client"][0],
                "user_agent": asked.get("User-Agent"),
            },
        )
