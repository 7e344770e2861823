"""The same service in FastAPI: CORSMiddleware, slowapi and python-json-logger.

Plain ASGI middleware throughout (slowapi's own, and ours for headers and log): the decorator
`@app.middleware("http")` of the tutorials costs FastAPI half of its speed.
"""

# mypy: disable-error-code="import-not-found, untyped-decorator, no-any-unimported, misc"

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from typing import Any

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from pythonjsonlogger.json import JsonFormatter
from slowapi import Limiter
from slowapi.middleware import SlowAPIASGIMiddleware
from slowapi.util import get_remote_address
from starlette.datastructures import Headers, MutableHeaders

from benchmarks.contenders import ORIGIN, SECURITY_HEADERS

settings = json.loads(os.environ["BENCH_SETTINGS"])
logger = logging.getLogger("requests")
handler = logging.FileHandler(settings["log"])
handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
logger.addHandler(handler)
logger.setLevel(logging.INFO)


class LogAndSecure:
    """One line per request, its id, and the security headers."""

    def __init__(self, app: Any) -> None:
        self.app = app

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


app = FastAPI()
app.state.limiter = Limiter(
    key_func=get_remote_address,
    default_limits=settings["limits"].split(";"),
    storage_uri=settings["storage"],
)
app.add_middleware(SlowAPIASGIMiddleware)
app.add_middleware(
    CORSMiddleware, allow_origins=[ORIGIN], allow_credentials=True, allow_methods=["*"]
)
app.add_middleware(LogAndSecure)


@app.get("/api/ping")
async def ping(request: Request) -> dict[str, str]:
    return {"message": "pong"}
