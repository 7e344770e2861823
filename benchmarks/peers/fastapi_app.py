"""The same service in FastAPI: CORSMiddleware, slowapi and python-json-logger."""

# mypy: disable-error-code="import-not-found, untyped-decorator, no-any-unimported, misc"

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from slowapi import Limiter
from slowapi.middleware import SlowAPIASGIMiddleware
from slowapi.util import get_remote_address

from benchmarks.duties import ORIGIN
from benchmarks.peers.asgi import LogAndSecure, settings

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
