"""Nobody wrongly allowed, nobody wrongly refused: origins that attackers and people write."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import servers
from tests.middlewares import load_package
from tests.parts import require
from tests.servers import SERVICE, TEMPLATE


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{path.stem}_under_test", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


load_package("middlewares_under_test", SERVICE / "app" / "middleware")
cors = importlib.import_module("middlewares_under_test.cors")
engine = importlib.import_module("middlewares_under_test.engine.origins")
hook = load(TEMPLATE / "hooks" / "pre_gen_project.py")


def read_origin(text: str) -> str:
    found: str = engine.read_origin("CORS_ORIGINS", text)
    return found


# What stands in an Origin header: first what honest browsers send, then what nobody honest does.
HONEST = [
    "https://example.com",
    "https://app.example.com",
    "https://www.example.com",
    "https://a.example.com",
    "https://a-b.example.com",
    "https://a_b.example.com",
    "https://0.example.com",
    "https://xn--bcher-kva.example.com",
    "https://" + "a" * 63 + ".example.com",
    "https://app.example.com:8443",
    "https://a.example.com:8443",
    "https://app.example.com:65535",
    "http://app.example.com",
    "http://example.com:8080",
    "http://localhost",
    "http://localhost:3000",
    "http://localhost:5173",
    "https://localhost:3000",
    "http://127.0.0.1:3000",
    "http://192.168.1.10:8080",
    "http://[::1]:3000",
    "http://[2001:db8::1]",
    "https://xn--bcher-kva.example",
    "https://a.xn--bcher-kva.example",
    "https://a.b.example.com",
    "https://a.b.c.example.com",
    "https://intranet",
    "https://app.example.org",
    "https://a.example.org",
    "https://a.example.co.uk",
    "https://evil.net",
    "http://evil.net",
    "capacitor://localhost",
    "ionic://localhost",
    "tauri://localhost",
    "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    "moz-extension://0f3c9d1e-6a5b-4c2d-8e7f-123456789abc",
]
HOSTILE = [
    "",
    " ",
    "*",
    "null",
    "NULL",
    "undefined",
    "file://",
    "about:blank",
    "data:text/html,x",
    "javascript://app.example.com/%0aalert(1)",
    "app.example.com",
    "//app.example.com",
    "https:app.example.com",
    "https:/app.example.com",
    "https://",
    "https:///app.example.com",
    "https://*",
    "https://*.example.com",
    "https://*.*.example.com",
    "https://?.example.com",
    "https://.example.com",
    "https://..example.com",
    "https://a..example.com",
    "https://-.example.com.",
    "https://app.example.com.",
    "https://app.example.com/",
    "https://app.example.com//",
    "https://app.example.com/path",
    "https://app.example.com?x",
    "https://app.example.com#x",
    "https://app.example.com:",
    "https://app.example.com:443",
    "http://app.example.com:80",
    "https://app.example.com:0443",
    "https://app.example.com:8443:8443",
    "https://app.example.com:8444",
    "https://app.example.com:84430",
    "https://app.example.com:x",
    "https://app.example.com:-1",
    "HTTPS://app.example.com",
    "https://APP.example.com",
    "https://app.Example.com",
    "https://app.example.com\x00",
    "https://app.example.com\x00.evil.net",
    "https://app.example.com\r\nX-Evil: 1",
    "https://app.example.com\n",
    "https://a\n.example.com",
    "\thttps://app.example.com",
    "https://app.example.com\x0b",
    "https://app.example.com ",
    " https://app.example.com",
    "https://app.example.com https://evil.net",
    "https://app.example.com,https://evil.net",
    "https://evil.net, https://app.example.com",
    "https://app.example.com, https://app.example.com",
    "https://app.example.com;evil.net",
    "https://app.example.com.evil.net",
    "https://app.example.com.evil.net:443",
    "https://a.example.com.evil.net",
    "https://example.com.evil.net",
    "https://app.example.comevil.net",
    "https://app.example.com-evil.net",
    "https://app.example.com_.evil.net",
    "https://evilexample.com",
    "https://xexample.com",
    "https://xexample.com.evil.net",
    "https://evil-example.com",
    "https://a.evilexample.com",
    "https://appXexample.com",
    "https://app-example.com",
    "https://app.exampleXcom",
    "https://app.example.co",
    "https://app.example.comm",
    "https://example.com@evil.net",
    "https://app.example.com@evil.net",
    "https://app.example.com:x@evil.net",
    "https://app.example.com%00.evil.net",
    "https://app.example.com%2eevil.net",
    "https://app.example.com%60.evil.net",
    "https://app.example.com`.evil.net",
    "https://app.example.com{.evil.net",
    "https://app.example.com!.evil.net",
    "https://a!.example.com",
    "https://a%2eb.example.com",
    "https://evil.net/.example.com",
    "https://evil.net?.example.com",
    "https://evil.net#.example.com",
    "https://evil.net\\.example.com",
    "https://evil.net:443.example.com",
    "https://evil.net@a.example.com",
    "https://" + "a" * 64 + ".example.com",
    "https://" + "a" * 8000 + ".example.com",
    "https://b\u00fccher.example",
    "https://app.example.com\u3002evil.net".encode().decode("latin-1"),
    "https://\uff41pp.example.com".encode().decode("latin-1"),
    "https://a\u0301.example.com".encode().decode("latin-1"),
    "http://localhost.",
    "http://localhost.evil.net",
    "http://localhost:3000.evil.net",
    "http://localhost:30000",
    "http://localhost:300",
    "http://localhostX3000",
    "http://127.1:3000",
    "http://2130706433:3000",
    "http://0x7f.0.0.1:3000",
    "http://127.0.0.1:3000.evil.net",
    "http://[0:0:0:0:0:0:0:1]:3000",
    "http://[::1%25lo]:3000",
    "http://::1:3000",
    "http://[::ffff:7f00:1]:3000",
    "httpss://app.example.com",
    "wss://app.example.com",
    "ftp://app.example.com",
    "blob:https://app.example.com",
    "capacitor://localhost.evil.net",
    "chrome-extension://abcdefghijklmnopabcdefghijklmnoq",
]
ANY_LABEL = ["app", "www", "a", "a-b", "a_b", "0", "xn--bcher-kva", "a" * 63]
BELOW_EXAMPLE_COM = [f"https://{label}.example.com" for label in ANY_LABEL]
# a configuration, and who of all the above it allows
CONFIGURATIONS: list[tuple[Any, list[str]]] = [
    ([], []),
    ("", []),
    (["https://app.example.com"], ["https://app.example.com"]),
    (["HTTPS://App.Example.Com:443/"], ["https://app.example.com"]),
    (["http://app.example.com:80"], ["http://app.example.com"]),
    (["https://example.com"], ["https://example.com"]),
    (["https://app.example.com:8443"], ["https://app.example.com:8443"]),
    (["https://app.example.com:65535"], ["https://app.example.com:65535"]),
    (
        "https://app.example.com, http://localhost:3000",
        ["https://app.example.com", "http://localhost:3000"],
    ),
    ('["https://evil.net", "http://evil.net"]', ["https://evil.net", "http://evil.net"]),
    (["http://localhost:3000"], ["http://localhost:3000"]),
    (["http://localhost"], ["http://localhost"]),
    (["http://127.0.0.1:3000"], ["http://127.0.0.1:3000"]),
    (["http://[0:0::1]:3000"], ["http://[::1]:3000"]),
    (["http://[2001:DB8:0:0::1]/"], ["http://[2001:db8::1]"]),
    (["https://XN--bcher-kva.example"], ["https://xn--bcher-kva.example"]),
    (["https://*.xn--bcher-kva.example"], ["https://a.xn--bcher-kva.example"]),
    (["https://*.example.com"], BELOW_EXAMPLE_COM),
    (["https://*.EXAMPLE.com:443/"], BELOW_EXAMPLE_COM),
    (["https://*.example.com:8443"], ["https://app.example.com:8443", "https://a.example.com:8443"]),
    (["https://*.b.example.com"], ["https://a.b.example.com"]),
    (["https://*.b.c.example.com"], ["https://a.b.c.example.com"]),
    (
        ["https://*.example.com", "https://example.com", "https://*.b.example.com"],
        [*BELOW_EXAMPLE_COM, "https://example.com", "https://a.b.example.com"],
    ),
    (["https://*.example.org", "https://*.example.co.uk"], [
        "https://app.example.org", "https://a.example.org", "https://a.example.co.uk",
    ]),
    (["https://intranet"], ["https://intranet"]),
    (["capacitor://localhost", "tauri://localhost"], ["capacitor://localhost", "tauri://localhost"]),
    (
        ["chrome-extension://abcdefghijklmnopabcdefghijklmnop"],
        ["chrome-extension://abcdefghijklmnopabcdefghijklmnop"],
    ),
    (
        [f"https://tenant{number}.example.net" for number in range(1000)] + ["https://evil.net"],
        ["https://evil.net"],
    ),
]  # fmt: skip

# What a person might type, and no browser would send: each stops the start and the generation.
REFUSED = [
    "*",
    "null",
    "NULL",
    "app.example.com",
    "localhost:3000",
    "//app.example.com",
    "https:app.example.com",
    "https:/app.example.com",
    "https//app.example.com",
    "https://",
    "https:///",
    "https://:443",
    "htps://app.example.com",
    "httpss://app.example.com",
    "ftp://app.example.com",
    "file:///index.html",
    "ws://app.example.com",
    "data:text/html,x",
    "https://app.example.com/login",
    "https://app.example.com//",
    "https://app.example.com/*",
    "https://app.example.com?x=1",
    "https://app.example.com#top",
    "https://me@app.example.com",
    "https://me:secret@app.example.com",
    "https://app.example.com:",
    "https://app.example.com:0",
    "https://app.example.com:65536",
    "https://app.example.com:999999",
    "https://app.example.com:*",
    "https://app.example.com:80-90",
    "https://app.example.com:\u0663\u0663",
    "http://localhost:*",
    "https://*",
    "https://*.",
    "https://*.com",
    "https://*.localhost",
    "http://*.example.com",
    "capacitor://*.example.com",
    "https://*.*.com",
    "https://*.*.example.com",
    "https://a.*.example.com",
    "https://app.*",
    "https://*app.example.com",
    "https://app*.example.com",
    "https://**.example.com",
    "https://*.10.0.0.1",
    "https://*.0.0.1",
    "https://*.[::1]",
    r"https://.*\.example\.com",
    r"https://.+\.example\.com",
    r"^https://app\.example\.com$",
    "https://app.example.com$",
    "https://(app|www).example.com",
    "https://[a-z].example.com",
    "https://app.example.com|https://b.example.com",
    "https://app.example.com;https://b.example.com",
    "https://app.example.com.",
    "https://.example.com",
    "https://app..example.com",
    "https://app.example.com\\",
    "https://app%2eexample.com",
    "https://" + "a" * 64 + ".example.com",
    "https://" + "a." * 126 + "com",
    "https://b\u00fccher.example",
    "https://stra\u00dfe.example",
    "https://\u4f8b\u3048.\u30c6\u30b9\u30c8",
    "https://*.b\u00fccher.example",
    "https://\uff41pp.example.com",
    "https://app\u3002example.com",
    "https://app.example.com\u200d",
    "https://app.example.com\x00",
    "http://127.1",
    "http://127.0.0.01",
    "http://256.0.0.1",
    "http://2130706433",
    "http://0x7f000001",
    "http://1.2.3",
    "http://[::1",
    "http://::1",
    "http://[::1%25eth0]",
    "http://[::g]",
    "http://[]",
]
WRITTEN = [
    "https://app.example.com",
    "HTTPS://App.Example.com/",
    "https://app.example.com:443",
    "http://app.example.com:80/",
    "http://app.example.com:443",
    "https://app.example.com:0443",
    "https://app.example.com:65535",
    "https://a_b.example.com",
    "https://-a.example.com",
    "https://xn--bcher-kva.example",
    "http://localhost:3000",
    "http://127.0.0.1:5173",
    "http://0.0.0.0:8000",
    "http://[::1]:3000",
    "http://[0:0:0:0:0:0:0:1]",
    "http://[2001:DB8:0:0:1:0:0:1]",
    "http://[2001:db8:0:1:1:1:1:1]",
    "http://[::ffff:192.0.2.1]",
    "http://[::ffff:0:0]",
    "http://[::192.0.2.1]",
    "https://intranet",
    "https://1.example.com",
    "https://example.a1",
]
WILDCARDS = ["https://*.example.com", "https://*.Example.com:8443/", "https://*.xn--bcher-kva.de"]


def service(origins: Any) -> Flask:
    app = Flask(__name__)
    app.config["CORS_ORIGINS"] = origins
    cors.configure_cors(app)
    return app


def granted(app: Flask, origin: str, **environ: str) -> str | None:
    """What a server would send as Access-Control-Allow-Origin; the header arrives as it is."""
    sent: dict[str, str] = {}

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        names = [name.lower() for name, _ in headers]
        assert len(names) == len(set(names)), f"a header twice: {headers}"
        sent.update(headers)

    base = app.test_request_context("/api/").request.environ
    response = app.wsgi_app({**base, "HTTP_ORIGIN": origin, **environ}, start_response)
    list(response)
    if hasattr(response, "close"):
        response.close()
    assert sent["Vary"] == "Origin"
    assert (sent.get("Access-Control-Allow-Credentials") == "true") == (
        "Access-Control-Allow-Origin" in sent
    )
    return sent.get("Access-Control-Allow-Origin")


def test_the_table_is_as_large_as_promised() -> None:
    assert len({*HONEST, *HOSTILE}) == len(HONEST) + len(HOSTILE) >= 60
    assert len(CONFIGURATIONS) >= 15
    assert all(origin in HONEST for _, allowed in CONFIGURATIONS for origin in allowed)


@pytest.mark.parametrize(("origins", "allowed"), CONFIGURATIONS, ids=lambda v: str(v)[:40])
def test_nobody_is_wrongly_allowed_or_refused(origins: Any, allowed: list[str]) -> None:
    app = service(origins)
    preflight = {"REQUEST_METHOD": "OPTIONS", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}
    for origin in HONEST + HOSTILE:
        expected = origin if origin in allowed else None
        assert granted(app, origin) == expected, ascii(origin)
        assert granted(app, origin, **preflight) == expected, ascii(origin)


@pytest.mark.parametrize(("origins", "allowed"), CONFIGURATIONS, ids=lambda v: str(v)[:40])
def test_what_flask_cors_finds_in_the_configuration_is_as_strict(
    origins: Any, allowed: list[str]
) -> None:
    from flask_cors.core import get_cors_options, get_cors_origins

    options = get_cors_options(service(origins))
    for origin in HONEST + HOSTILE:
        if origin and origin == origin.lower():  # flask-cors compares without regard to case
            assert bool(get_cors_origins(options, origin)) == (origin in allowed), ascii(origin)


@pytest.mark.parametrize("written", REFUSED, ids=ascii)
def test_what_no_browser_sends_is_refused_at_start_and_at_generation(written: str) -> None:
    with pytest.raises(ValueError, match=r"^CORS_ORIGINS: .*; for example ") as refused:
        service([written])
    assert str(refused.value).isascii()
    assert ascii(written)[:80].rstrip("'") in str(refused.value)
    assert hook.refused_origins(written), "the hook lets it pass"


@pytest.mark.parametrize("written", WRITTEN + WILDCARDS, ids=ascii)
def test_what_people_write_is_accepted_at_start_and_at_generation(written: str) -> None:
    once = read_origin(written)
    assert read_origin(once) == once
    assert hook.refused_origins(written) == ""


def by_the_url_standard(texts: list[str]) -> list[str | None]:
    """What another reader of the URL standard, node's, makes of them; None where it refuses."""
    program = """
        const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
        const origin = (text) => { try { return new URL(text).origin } catch { return null } };
        console.log(JSON.stringify(texts.map(origin)));
    """
    command = [str(require("node")), "-e", program]
    run = subprocess.run(command, input=json.dumps(texts).encode(), capture_output=True, check=True)
    found: list[str | None] = json.loads(run.stdout)
    return found


def test_an_origin_is_brought_into_the_form_that_the_url_standard_gives_it() -> None:
    assert [read_origin(text) for text in WRITTEN] == by_the_url_standard(WRITTEN)


NOISE = "abz019-_.:/@?#*[]%\\ $^()|+~\x00\t\n\u00e9\u00df\u212a\u3002\uff0e\u0131"
HOSTS = ["app.example.com", "*.example.com", "localhost", "127.0.0.1", "[::1]", "[::ffff:1.2.3.4]"]
SCHEMES = ["https://", "http://", "HTTPS://", "https:/", "", "tauri://", "wss://"]
PORTS = ["", ":443", ":80", ":3000", ":0", ":65536", ":", ":08"]


def typed(noise: str, schemes: list[str], ports: list[str]) -> st.SearchStrategy[str]:
    def put(scheme: str, host: str, extra: str, at: int, port: str, end: str) -> str:
        return f"{scheme}{host[:at]}{extra}{host[at:]}{port}{end}"

    return st.builds(
        put,
        st.sampled_from(schemes),
        st.sampled_from(HOSTS) | st.text(noise, max_size=12),
        st.just("") | st.text(noise, max_size=3),
        st.integers(0, 15),
        st.sampled_from(ports),
        st.sampled_from(["", "/", "//", "/x", ".", " "]),
    )


@settings(max_examples=500, derandomize=True, deadline=None)
@given(typed(NOISE, SCHEMES, PORTS))
def test_the_hook_and_the_middleware_agree(written: str) -> None:
    if "," in written or any(character.isspace() for character in written.strip()):
        return  # the question takes blanks for the end of an origin
    if not written.strip() or written.strip() == "none":
        return
    assert accepts(written) == (hook.refused_origins(written) == "")


def accepts(written: str) -> bool:
    try:
        read_origin(written)
    except ValueError:
        return False
    return True


def test_whatever_is_accepted_means_the_same_to_a_browser() -> None:
    web: list[str] = []

    @settings(max_examples=1500, derandomize=True, deadline=None)
    @given(typed("abz019-_.AZ\u00e9\u00df\u4f8b\u212a", SCHEMES[:3], PORTS[:4]))
    def collect(text: str) -> None:
        if "*" not in text and accepts(text):
            web.append(text)

    collect()
    assert len(web) > 100
    assert [read_origin(text) for text in web] == by_the_url_standard(web)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.text(NOISE + "exampl.com", max_size=20), st.text(NOISE, max_size=4))
def test_a_wildcard_never_reaches_beyond_its_name(front: str, back: str) -> None:
    app = service("https://*.example.com")
    origin = f"https://{front}.example.com{back}".encode().decode("latin-1")
    if granted(app, origin):
        label = origin.removeprefix("https://").removesuffix(".example.com")
        assert origin == f"https://{label}.example.com"
        assert label
        assert set(label) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")


def test_random_origins_leave_nothing_in_memory() -> None:
    app = service("https://*.example.com, https://app.example.org")
    with contextlib.suppress(AssertionError):
        granted(app, "https://warm.example.com")
    allowed: Callable[[str], bool] = app.extensions["cors"].allowed.allow
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(20_000):
        assert allowed(f"https://tenant-{number}.example.com")
        assert not allowed(f"https://tenant-{number}.example.net")
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 20_000


# On the wire: what servers make of a header before it reaches us.
ON_THE_WIRE = [
    (b"Origin: https://app.example.com\r\n", True),
    (b"origin:https://app.example.com\r\n", True),
    (
        b"Origin: \t https://app.example.com \t\r\n",
        True,
    ),  # RFC 9110 5.5: blanks around do not count
    (b"Origin: https://app.example.com\r\nOrigin: https://evil.net\r\n", False),
    (b"Origin: https://evil.net\r\nOrigin: https://app.example.com\r\n", False),
    (b"Origin: https://app.example.com, https://evil.net\r\n", False),
    (b"Origin: https://app.example.com\x00\r\n", False),
    (b"Origin: https://app.example.com\x0b\r\n", False),
    (b"Origin: https://app.example.com\r\n https://evil.net\r\n", False),
    (b"Origin: https://app.example.com\xe3\x80\x82evil.net\r\n", False),
    (b"Origin:\r\n", False),
    (b"Origin: null\r\n", False),
    (b"X-Origin: https://app.example.com\r\n", False),
]
WIRE_APP = """
from flask import Flask
from app.middleware.cors import configure_cors

app = Flask(__name__)
app.config["CORS_ORIGINS"] = "https://app.example.com"
configure_cors(app)
app.add_url_rule("/api/thing", view_func=lambda: "thing")
"""


@pytest.fixture(scope="module", params=["gunicorn", "waitress", "granian"])
def wire(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[servers.Server]:
    """A service with this one middleware: the file and engine/ in a package, as people copy it."""
    folder = tmp_path_factory.mktemp("wire")
    package = folder / "app" / "middleware"
    package.mkdir(parents=True)
    (package / "cors.py").write_bytes((SERVICE / "app" / "middleware" / "cors.py").read_bytes())
    shutil.copytree(SERVICE / "app" / "middleware" / "engine", package / "engine")
    (folder / "wire.py").write_text(WIRE_APP, encoding="ascii")
    if request.param == "granian":
        pytest.importorskip("granian")
    with getattr(servers, request.param)(folder, target="wire:app") as server:
        yield server


@pytest.mark.parametrize(("lines", "allowed"), ON_THE_WIRE, ids=lambda v: ascii(v)[:60])
def test_on_the_wire_too(wire: servers.Server, lines: bytes, allowed: bool) -> None:
    with socket.create_connection(("127.0.0.1", wire.port), timeout=10) as connection:
        head = b"GET /api/thing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        connection.sendall(head + lines + b"\r\n")
        response = b"".join(iter(lambda: connection.recv(65536), b""))
    names = response.lower()
    assert (b"access-control-allow-origin: https://app.example.com\r\n" in names) == allowed
    assert allowed or b"access-control-" not in names
