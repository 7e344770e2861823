"""nginx with proxy_cache in front: no page is ever handed what was meant for another."""

from __future__ import annotations

import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests import servers
from tests.servers import SERVICE

ONE = "https://one.example.com"
TWO = "https://two.example.com"
BELOW = "https://any.example.org"
FOREIGN = "https://evil.example.net"
ALLOWED = (ONE, TWO, BELOW)
EXTRA = """
from flask import abort, request

from app import create_app
from app.extensions import public

app = create_app()


@app.get("/api/cached/<order>")
@public
def cached(order):
    return {"for": request.headers.get("Origin")}, {"Cache-Control": "public, max-age=600"}


@app.get("/api/compressed/<order>")
@public
def compressed(order):
    return cached(order)[0], {"Cache-Control": "public, max-age=600", "Vary": "Accept-Encoding"}
"""
NGINX = """
proxy_cache_path {folder}/cache keys_zone=all:1m;
proxy_cache all;
proxy_cache_key $request_uri;
proxy_cache_valid 404 10m;
add_header X-Cache $upstream_cache_status always;
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass {upstream};
    }}
    location /api/no-such-thing/ {{
        proxy_ignore_headers Cache-Control;
        proxy_pass {upstream};
    }}
}}
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("cache")
    (folder / "extra.py").write_text(EXTRA, encoding="ascii")
    env = {
        "PYTHONPATH": str(SERVICE),
        "FLASK_CORS_ORIGINS": f"{ONE},{TWO},https://*.example.org",
        "FLASK_RATELIMIT_DEFAULT": "100000 per minute",
    }
    options = ["--config", str(SERVICE / "gunicorn.conf.py")]
    port = servers.free_port()
    with servers.gunicorn(folder, *options, target="extra:app", env=env) as service:
        config = NGINX.format(folder=folder, port=port, upstream=service.url)
        with servers.nginx(config, port, folder) as nginx:
            yield nginx.url


def get(url: str, origin: str | None) -> tuple[str, str | None, str | None]:
    """What the cache did, whom the answer is for by its header, and by its body."""
    request = urllib.request.Request(url, headers={"Origin": origin} if origin else {})
    try:
        answer = urllib.request.urlopen(request, timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        headers, body = answer.headers, json.load(answer)
    for name in ("Vary", "Access-Control-Allow-Origin"):
        assert len(headers.get_all(name, [])) <= 1
    return headers["X-Cache"], headers["Access-Control-Allow-Origin"], body.get("for")


@pytest.mark.parametrize("kind", ["cached", "compressed"])
def test_a_cache_never_serves_one_origins_copy_to_another(cache: str, kind: str) -> None:
    for number, order in enumerate(itertools.permutations((ONE, TWO, BELOW, FOREIGN, None))):
        url = f"{cache}/api/{kind}/{number}"
        for origin in order:
            own = origin if origin in ALLOWED else None
            assert get(url, origin) == ("MISS", own, origin), order
        for origin in order:  # and again: each has its own copy by now
            own = origin if origin in ALLOWED else None
            assert get(url, origin) == ("HIT", own, origin), order


def test_an_error_kept_against_what_the_service_says_is_readable_too(cache: str) -> None:
    for number, order in enumerate(itertools.permutations((ONE, TWO, FOREIGN, None))):
        for did in ("MISS", "HIT"):
            for origin in order:
                own = origin if origin in ALLOWED else None
                answer = get(f"{cache}/api/no-such-thing/{number}", origin)
                assert answer == (did, own, None), order
