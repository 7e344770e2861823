"""What gunicorn refuses before it is a request gets the service's document, headers and line."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.raw_http import Answer, ask
from tests.servers import Server, gunicorn, redis, until

GET = b"GET /api/ping?key=secret HTTP/1.1\r\nHost: localhost\r\n"
REFUSED = {
    "a request line that is none": (400, b"HELLO\r\n\r\n", "/"),
    "a method that is none": (400, b"get / HTTP/1.1\r\n\r\n", "/"),
    "a TLS handshake": (400, b"\x16\x03\x01\x00\xa5\x01\x00\n\r\n\r\n", "/"),
    "HTTP/2 without TLS": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "/"),
    "a header's name that is none": (400, GET + b"Bad Header: 1\r\n\r\n", "/api/ping"),
    "a header without a colon": (400, GET + b"Bad\r\n\r\n", "/api/ping"),
    "two lengths": (400, GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "/api/ping"),
    "lines without carriage returns": (400, b"GET / HTTP/1.1\nHost: a\n\n", "/"),
    "an unknown version": (400, b"GET / HTTP/3.1\r\n\r\n", "/"),
    "a long request line": (414, b"GET /" + b"a" * 4100 + b" HTTP/1.1\r\n\r\n", None),
    "a request line without an end": (414, b"GET /" + b"a" * 9000, None),
    "an expectation": (417, GET + b"Expect: a miracle\r\n\r\n", "/api/ping"),
    "a long header": (431, GET + b"X: " + b"a" * 9000 + b"\r\n\r\n", "/api/ping"),
    "many headers": (431, GET + b"X: 1\r\n" * 101 + b"\r\n", "/api/ping"),
    "a head of 70,000 bytes": (431, GET + (b"X: " + b"a" * 996 + b"\r\n") * 70, "/api/ping"),
    "an unknown coding": (501, GET + b"Transfer-Encoding: x\r\n\r\n", "/api/ping"),
    "half a head": (408, GET, "/api/ping"),
}

ALLOWED = "https://app.example.com"
ORIGIN = b"Origin: https://app.example.com\r\n"
POST = b"POST /api/orders HTTP/1.1\r\nHost: localhost\r\n"
LONG = b"Cookie: " + b"a" * 8200 + b"\r\n"
READABLE = {
    "a long cookie": (431, GET + ORIGIN + LONG + b"\r\n"),
    "a long cookie before": (431, GET + LONG + ORIGIN + b"\r\n"),
    "a long cookie of a write": (431, POST + ORIGIN + LONG + b"\r\n"),
    "a head of 70,000 bytes": (431, GET + ORIGIN + (b"X: " + b"a" * 996 + b"\r\n") * 70),
    "a long request line": (414, b"GET /api/" + b"a" * 4100 + b" HTTP/1.1\r\n" + ORIGIN + b"\r\n"),
    "half a head": (408, GET + ORIGIN + b"Coo"),
    "half a body": (408, POST + ORIGIN + b"Content-Length: 9\r\n\r\n{"),
    "an expectation": (417, GET + b"oRIGIN:" + ORIGIN[7:] + b"Expect: a miracle\r\n\r\n"),
}
UNREADABLE = {
    "another origin": (431, GET + b"Origin: https://evil.example.com\r\n" + LONG + b"\r\n"),
    "a write of another": (431, POST + b"Origin: https://evil.example.com\r\n" + LONG + b"\r\n"),
    "two origins": (431, GET + ORIGIN + ORIGIN + LONG + b"\r\n"),
    "a list": (431, GET + ORIGIN[:-2] + b", https://b.example\r\n" + LONG + b"\r\n"),
    "half a line": (408, GET + ORIGIN[:-2]),
    "a folded line": (400, GET + ORIGIN + b" .evil.example\r\n\r\n"),
    "a body": (408, POST + b"Content-Length: 99\r\n\r\n\r\n" + ORIGIN),
    "a preflight": (431, b"OPTIONS" + GET[3:] + LONG + b"\r\n"),
    "the value of another header": (431, GET + b"X: 1;Origin: " + ORIGIN + LONG + b"\r\n"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("logs")
    env = {
        "FLASK_LOG_FILE": str(folder / "requests.log"),
        "FLASK_SECURITY_LOG_FILE": str(folder / "security.log"),
        "FLASK_TRUSTED_HOSTS": "localhost",
        "FLASK_CORS_ORIGINS": ALLOWED,
        "SOCKET_TIMEOUT": "0.5",
    }
    with gunicorn(env=env) as started:
        started.log_folder = folder  # type: ignore[attr-defined]
        yield started


def heads(answer: Answer) -> dict[str, str]:
    lines = answer.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def logged(folder: Path, name: str, request_id: str) -> dict[str, object]:
    found: list[dict[str, object]] = []

    def look() -> bool:
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        found[:] = [line for line in map(json.loads, lines) if line["request_id"] == request_id]
        return bool(found)

    until(look, 10)
    (line,) = found
    return line


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_server_refuses_is_a_problem_with_headers_and_a_line(
    server: Server, what: str
) -> None:
    status, request, path = REFUSED[what]
    answer = ask(server.port, request, half_close=False)
    assert answer.status == status
    headers = heads(answer)
    problem = json.loads(answer.body)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close" and "server" not in headers
    assert headers["x-content-type-options"] == "nosniff" and "content-security-policy" in headers
    assert headers["x-request-id"] == problem["request_id"]
    assert problem["status"] == status
    folder: Path = server.log_folder  # type: ignore[attr-defined]
    line = logged(folder, "requests.log", problem["request_id"])
    assert (line["status"], line["remote_addr"]) == (status, "127.0.0.1")
    assert path is None or line["path"] == path
    assert "secret" not in json.dumps(line)
    watched = logged(folder, "security.log", problem["request_id"])
    assert watched["event"] == "malformed_request"


@pytest.mark.parametrize("what", READABLE)
def test_the_pages_of_allowed_origins_can_read_what_the_server_refuses(
    server: Server, what: str
) -> None:
    status, request = READABLE[what]
    answer = ask(server.port, request, half_close=False)
    assert answer.status == status
    assert heads(answer)["access-control-allow-origin"] == ALLOWED
    assert "x-request-id" in heads(answer)["access-control-expose-headers"].lower()


@pytest.mark.parametrize("what", UNREADABLE)
def test_nobody_else_can_read_it_and_it_is_refused_all_the_same(server: Server, what: str) -> None:
    status, request = UNREADABLE[what]
    answer = ask(server.port, request, half_close=False)
    assert answer.status == status
    assert "access-control-allow-origin" not in heads(answer)


def test_an_application_that_has_no_problem_documents_gets_the_servers_own(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("def app(environ, start_response): ...\n", encoding="ascii")
    from tests.test_no_request_is_lost import CONFIG

    with gunicorn(tmp_path, *CONFIG, target="plain:app") as plain:
        answer = ask(plain.port, b"HELLO\r\n\r\n")
        assert answer.status == 400 and b"<html>" in answer.body


def ready(server: Server) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{server.url}/ready", timeout=10) as response:
            return response.status, json.load(response)["status"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["status"]


def test_while_the_service_drains_ready_is_503_and_everything_is_served() -> None:
    with redis() as store:
        uri = f"redis://127.0.0.1:{store.port}/0"
        env = {"DRAIN_TIMEOUT": "30", "FLASK_RATELIMIT_STORAGE_URI": uri}
        with gunicorn(env={**env, "WEB_CONCURRENCY": "2"}) as server:
            until(lambda: ready(server) == (200, "ok"))
            os.kill(server.process.pid, signal.SIGTERM)
            until(lambda: ready(server) == (503, "draining"), 5)
            for _ in range(10):  # both workers say so
                assert ready(server) == (503, "draining")
                with urllib.request.urlopen(f"{server.url}/api/ping", timeout=10) as response:
                    assert response.status == 200
            os.kill(server.process.pid, signal.SIGTERM)  # a second one ends it
            assert server.process.wait(10) == 0


def test_after_its_time_the_draining_service_stops() -> None:
    with gunicorn(env={"DRAIN_TIMEOUT": "0.5"}) as server:
        until(lambda: ready(server)[0] == 200)
        os.kill(server.process.pid, signal.SIGTERM)
        assert server.process.wait(10) == 0
        assert "Draining for 0.5 s" in server.output()
