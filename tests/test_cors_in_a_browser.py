"""In headless Chromium, with pages on real origins, against the service on gunicorn."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests import servers
from tests.chromium import chromium
from tests.servers import SERVICE

KEY = "a-key-for-tests-of-more-than-32-characters"
# The service, and routes that show what a page can read of it.
EXTRA = '''
from flask import abort, make_response, render_template_string, request, session

from app import create_app
from app.extensions import limiter, public

app = create_app()
CLEAN = """<!doctype html><html lang="en"><title>page</title><link rel="icon" href="/icon.svg">
<link rel="stylesheet" href="/style.css"><body><p>text</p>
<script nonce="{{ csp_nonce() }}">document.body.dataset.withNonce = "ran"</script>"""
INJECTED = """<script>document.body.dataset.injected = "ran"</script>
<img src="x" onerror="document.body.dataset.injected = 'ran'">"""


@app.get("/style.css")
@public
def style():
    return "p { color: rgb(1, 2, 3) }", {"Content-Type": "text/css"}


@app.get("/icon.svg")
@public
def icon():
    return "<svg xmlns='http://www.w3.org/2000/svg'/>", {"Content-Type": "image/svg+xml"}


@app.get("/page")
@public
def page():
    return render_template_string(CLEAN)


@app.get("/injected")
@public
def injected():
    return render_template_string(CLEAN) + INJECTED


@app.get("/api/closed")
def closed():
    return {"closed": False}


@app.get("/api/boom")
def boom():
    raise RuntimeError("internals")


@app.get("/api/once")
@limiter.limit("1 per hour")
def once():
    return {"left": 0}


@app.get("/api/open")
@public
def open_to_all():
    return {"open": True}


@app.get("/api/login")
@public
def login():
    answer = make_response({"in": True})
    answer.set_cookie("who", "a-person", samesite="Lax", httponly=True)
    return answer


@app.get("/api/who")
@public
def who():
    return {"who": request.cookies.get("who")}


@app.route("/api/thing", methods=["PUT", "PATCH", "DELETE"])
def thing():
    return {"did": request.method, "got": request.get_json(silent=True)}
'''
READ = """
    const [url, options, done] = arguments;
    fetch(url, options).then(async (answer) => done({
        status: answer.status,
        type: answer.type,
        id: answer.headers.get("X-Request-ID"),
        wait: answer.headers.get("Retry-After"),
        limit: answer.headers.get("RateLimit"),
        policy: answer.headers.get("RateLimit-Policy"),
        body: await answer.text().then((text) => text ? JSON.parse(text) : null),
    })).catch((problem) => done({problem: String(problem)}));
"""


class Page(BaseHTTPRequestHandler):
    """An empty page: its origin is what matters."""

    def do_GET(self) -> None:
        body = b'<!doctype html><title>page</title><link rel="icon" href="data:,">'
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def pages() -> Iterator[list[int]]:
    """Two ports of 127.0.0.1, so two origins: the first is allowed, the second is not."""
    sites = [ThreadingHTTPServer(("127.0.0.1", 0), Page) for _ in range(2)]
    threads = [threading.Thread(target=site.serve_forever) for site in sites]
    for thread in threads:
        thread.start()
    yield [site.server_address[1] for site in sites]
    for site, thread in zip(sites, threads, strict=True):
        site.shutdown()
        site.server_close()
        thread.join()


@pytest.fixture(scope="module")
def service(pages: list[int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    folder = tmp_path_factory.mktemp("service")
    (folder / "extra.py").write_text(EXTRA, encoding="ascii")
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    env = {
        "PYTHONPATH": str(SERVICE),
        "FLASK_CORS_ORIGINS": f"http://127.0.0.1:{pages[0]}",
        "FLASK_RATELIMIT_DEFAULT": "1000 per minute",
        "FLASK_API_KEYS": json.dumps({"page": {"keys": [digest], "scopes": []}}),
    }
    options = ["--config", str(SERVICE / "gunicorn.conf.py")]
    with servers.gunicorn(folder, *options, target="extra:app", env=env) as server:
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    switches = ["--disable-quic", "--disable-sync", "--disable-component-update"]
    with chromium(tmp_path_factory.mktemp("profile"), *switches) as browser:
        yield browser


class Tab:
    """The browser with a page of one origin open."""

    def __init__(self, browser: Any, origin: str, service: servers.Server) -> None:
        self.browser = browser
        self.service = service
        browser.get(origin)
        self.console()

    def fetch(self, path: str, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.browser.execute_async_script(
            READ, self.service.url + path, options
        )
        return answer

    def console(self) -> list[str]:
        """What it said since it was asked last."""
        return [entry["message"] for entry in self.browser.get_log("browser")]


@pytest.fixture
def allowed(browser: Any, pages: list[int], service: servers.Server) -> Tab:
    return Tab(browser, f"http://127.0.0.1:{pages[0]}/", service)


@pytest.fixture(params=["another port", "another host"])
def foreign(
    request: pytest.FixtureRequest, browser: Any, pages: list[int], service: servers.Server
) -> Tab:
    another_port = request.param == "another port"
    host = f"127.0.0.1:{pages[1]}" if another_port else f"localhost:{pages[0]}"
    return Tab(browser, f"http://{host}/", service)


WITH_KEY = {"headers": {"X-API-Key": KEY}}
NO_ANSWER = {"problem": "TypeError: Failed to fetch"}


def complaints(console: list[str]) -> list[str]:
    """All but that something answered 401, 404, 429 or 500, as the test wanted it to."""
    return [line for line in console if "the server responded with a status of" not in line]


def test_an_allowed_page_reads_a_200(allowed: Tab) -> None:
    answer = allowed.fetch("/api/ping", **WITH_KEY)
    assert (answer["status"], answer["type"]) == (200, "cors")
    assert answer["body"] == {"message": "pong"}
    assert len(answer["id"]) >= 8
    assert answer["limit"] and answer["policy"]
    assert complaints(allowed.console()) == []


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("/api/closed", {}, 401),
        ("/api/no-such-thing", WITH_KEY, 404),
        ("/api/ping", {**WITH_KEY, "method": "DELETE"}, 405),
        ("/api/boom", WITH_KEY, 500),
    ],
)
def test_an_allowed_page_reads_why_it_failed(
    allowed: Tab, path: str, options: dict[str, Any], status: int
) -> None:
    answer = allowed.fetch(path, **options)
    assert answer["status"] == answer["body"]["status"] == status
    assert answer["id"] == answer["body"]["request_id"]
    assert "internals" not in str(answer)
    assert complaints(allowed.console()) == []


def test_a_429_can_be_read_by_the_browser(allowed: Tab) -> None:
    answers = [allowed.fetch("/api/once", **WITH_KEY) for _ in range(2)]
    assert [answer["status"] for answer in answers] == [200, 429]
    refused = answers[1]
    assert 0 < int(refused["wait"]) <= 3600
    assert refused["id"] == refused["body"]["request_id"]
    assert "r=0" in refused["limit"]
    assert complaints(allowed.console()) == []


def test_an_allowed_page_chooses_its_own_request_id(allowed: Tab) -> None:
    answer = allowed.fetch("/api/open", headers={"X-Request-ID": "chosen-by-the-page"})
    assert answer["id"] == "chosen-by-the-page"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_preflight_lets_an_allowed_page_send_what_the_service_takes(
    allowed: Tab, method: str
) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    answer = allowed.fetch("/api/thing", method=method, headers=headers, body='{"a": 1}')
    assert answer["body"] == {"did": method, "got": {"a": 1}}
    assert complaints(allowed.console()) == []


def test_a_preflight_does_not_let_it_send_anything_else(allowed: Tab) -> None:
    assert allowed.fetch("/api/open", headers={"X-Other": "1"}) == NO_ANSWER
    assert any("x-other" in line for line in allowed.console())


def test_an_allowed_page_uses_cookies(allowed: Tab) -> None:
    assert allowed.fetch("/api/login", credentials="include")["body"] == {"in": True}
    answer = allowed.fetch("/api/who", credentials="include")
    assert answer["body"] == {"who": "a-person"}
    assert allowed.fetch("/api/who", credentials="omit")["body"] == {"who": None}
    assert complaints(allowed.console()) == []


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/api/open", {}),
        ("/api/open", {"credentials": "include"}),
        ("/api/closed", {}),
        ("/api/closed", WITH_KEY),
        ("/api/no-such-thing", {}),
        ("/api/once", WITH_KEY),
        ("/api/boom", {}),
        ("/api/thing", {"method": "PUT"}),
        ("/health", {}),
    ],
)
def test_a_foreign_page_reads_nothing(foreign: Tab, path: str, options: dict[str, Any]) -> None:
    assert foreign.fetch(path, **options) == NO_ANSWER


def test_a_foreign_page_cannot_see_inside_an_opaque_answer(foreign: Tab) -> None:
    answer = foreign.fetch("/api/open", mode="no-cors")
    assert answer == NO_ANSWER  # Cross-Origin-Resource-Policy: not even an opaque one


def test_a_page_in_a_sandbox_whose_origin_is_null_reads_nothing(allowed: Tab) -> None:
    answer = allowed.browser.execute_async_script(
        """
        const [url, done] = arguments;
        const frame = document.createElement("iframe");
        frame.sandbox = "allow-scripts";
        frame.srcdoc = `<script>fetch(${JSON.stringify(url)})
            .then((answer) => parent.postMessage(answer.status, "*"))
            .catch((problem) => parent.postMessage(String(problem), "*"))</script>`;
        addEventListener("message", (message) => done(message.data), {once: true});
        document.body.append(frame);
        """,
        allowed.service.url + "/api/open",
    )
    assert answer == NO_ANSWER["problem"]


def dataset(browser: Any) -> dict[str, str]:
    found: dict[str, str] = browser.execute_script("return {...document.body.dataset}")
    return found


def test_a_script_with_the_nonce_runs_and_the_console_is_silent(
    browser: Any, service: servers.Server
) -> None:
    tab = Tab(browser, "about:blank", service)
    browser.get(service.url + "/page")
    assert dataset(browser) == {"withNonce": "ran"}
    colour = "return getComputedStyle(document.querySelector('p')).color"
    assert browser.execute_script(colour) == "rgb(1, 2, 3)"
    assert tab.fetch("/api/open")["body"] == {"open": True}
    # OWASP's list of permissions has web-share, which Chromium knows on every system but Linux
    assert [line for line in tab.console() if "Unrecognized feature: 'web-share'" not in line] == []


def test_a_script_without_the_nonce_does_not_run(browser: Any, service: servers.Server) -> None:
    tab = Tab(browser, "about:blank", service)
    browser.get(service.url + "/injected")
    assert dataset(browser) == {"withNonce": "ran"}
    assert any("Content Security Policy" in line for line in tab.console())


def test_a_browser_gives_an_origin_the_form_that_the_configuration_expects(allowed: Tab) -> None:
    from tests.test_hostile_origins import WRITTEN, read_origin

    origins = allowed.browser.execute_script(
        "return arguments[0].map((text) => new URL(text).origin)", WRITTEN
    )
    assert origins == [read_origin(text) for text in WRITTEN]
