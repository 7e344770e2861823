"""No setting is without effect: set to something else, something changes, or the start is refused.

Every key of docs/settings.md and every key of Flask, flask-cors and Flask-Limiter that a middleware
touches is on trial, in a service that create_app() makes. What "something" is: the responses to a
fixed row of requests, the lines in the log, the keys in the store. A value that cannot be used is
refused by a message that begins with the key; None and "" mean the default.
"""

from __future__ import annotations

import importlib
import io
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask, Response, g, request, session
from flask.sessions import SecureCookieSessionInterface
from flask_cors.core import CONFIG_OPTIONS
from flask_limiter.constants import ConfigVars
from redis import Redis
from werkzeug.test import EnvironBuilder, run_wsgi_app

from tests.servers import SERVICE, redis
from tests.settings_page import WITH_KEYS

KEY = "a-key-for-tests-0123456789abcdefghij"
HASH = "7a6d35b6337211be9be9f1bbc5efdf419e4ff02c153c6fb681a1f56110dd4e5f"
AGENT = "x true -1 y x y;,= "
ALLOWED, FOREIGN = "https://app.shop.test", "https://evil.test"
SECRET = "a-key-of-these-tests-" + "0A1b2C3d4E5f6G7h"
OLDER = "an-older-key-of-these-tests-" + "0A1b2C3d4E5f6G7h"
SIGNER = rsa.generate_private_key(65537, 2048)
DOCUMENTED = [key for one in WITH_KEYS for key in one.keys]


# -- a service, and what is seen of it -------------------------------------------------------------


@pytest.fixture(scope="module")
def create_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Flask]]:
    """The service's own factory, with nothing but these settings, in a folder of its own."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if of_the_service(name)}
    sys.path.insert(0, str(SERVICE))
    app = importlib.import_module("app")
    by_name = importlib.import_module("app.config").config_by_name
    defaults = dict(by_name)

    def make(settings: Mapping[str, Any]) -> Flask:
        values = {"SECRET_KEY": SECRET, **settings}
        by_name["observed"] = type("Observed", (), values)
        made: Flask = app.create_app("observed")
        return made

    yield make
    sys.path.remove(str(SERVICE))
    for name in list(filter(of_the_service, sys.modules)):
        del sys.modules[name]
    sys.modules.update(kept)
    by_name.clear()
    by_name.update(defaults)
    monkeypatch.undo()


def of_the_service(name: str) -> bool:
    return name.partition(".")[0] == "app"


def tell_caller() -> dict[str, Any]:
    tier = getattr(g.get("caller"), "tier", None) or request.environ.get("client_tier")
    return {"who": g.get("client"), "scopes": sorted(g.get("scopes") or ()), "tier": tier}


def add_views(app: Flask) -> None:
    public = importlib.import_module("app.middleware.authentication").public

    def log_in() -> str:
        session["user"] = "someone"
        session.permanent = True
        logging.getLogger("a.library").info("somebody logged in")
        logging.getLogger("a.library").debug("and this is how")
        return "<p>welcome"

    def take() -> dict[str, Any]:
        form = {name: len(value) for name, value in request.form.items()}
        return {"json": request.get_json(silent=True), "form": form}

    app.add_url_rule("/api/login", "login", public(log_in))
    app.add_url_rule("/api/take", "take", public(take), methods=["POST"])
    app.add_url_rule("/api/who", "who", public(lambda: {"user": session.get("user")}))
    app.add_url_rule("/api/both", "both", public(lambda: {}), methods=["GET", "POST"])
    cookie = Response("a cookie", headers={"Set-Cookie": "colour=green"})
    app.add_url_rule("/api/cookie", "cookie", public(lambda: cookie))
    app.add_url_rule("/page", "page", public(lambda: "<p>a page"))
    app.add_url_rule("/api/private", "private", tell_caller)
    app.add_url_rule("/api/boom", "boom", public(lambda: str(1 // 0)))


def cookies(app: Flask) -> list[str]:
    """A session of somebody, signed with the key of these tests and with an older one."""
    name, values = app.config["SESSION_COOKIE_NAME"], {"user": "someone", "_permanent": True}
    signer = SecureCookieSessionInterface()
    made = []
    for key in (SECRET, OLDER):
        other = Flask("other")
        other.secret_key = key
        serializer = signer.get_signing_serializer(other)
        assert serializer
        made.append(f"{name}={serializer.dumps(values)}")
    return made


def ask(app: Flask, method: str, path: str, **more: Any) -> tuple[Any, ...]:
    headers = {"Host": "localhost", "User-Agent": "tests", **more.pop("headers", {})}
    builder = EnvironBuilder(path=path, method=method, headers=headers, **more)
    environ = builder.get_environ()
    environ["REMOTE_ADDR"] = environ.get("REMOTE_ADDR") or "192.0.2.1"
    try:
        body, status, sent = run_wsgi_app(app, environ, buffered=True)
    except Exception as error:  # a server would see it
        return (method, path, type(error).__name__)
    return (method, path, status, sorted(sent.to_wsgi_list()), b"".join(body))


def write_keys(folder: Path) -> list[str]:
    """A key set in this folder, and tokens of its key: good, and expired for 20 seconds."""
    public = jwt.algorithms.RSAAlgorithm.to_jwk(SIGNER.public_key(), as_dict=True)
    keys = [{**public, "kid": "one", "use": "sig"}]
    (folder / "jwks.json").write_text(json.dumps({"keys": keys}))
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "someone",
        "scope": "orders:read",
    }
    claims |= dict.fromkeys([text for text in ODD if isinstance(text, str)], "gold")
    claims |= {"roles": ["orders:write"], "plan": "gold"}
    return [
        jwt.encode({**claims, "exp": now + seconds}, SIGNER, "RS256", {"kid": "one"})
        for seconds in (1000, -20)
    ]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".json")


HERE = {"REMOTE_ADDR": "127.0.0.1"}


def look(app: Flask, tokens: list[str], log: Path) -> list[Any]:
    """What clients and the log see, without what differs each time."""
    add_views(app)
    json_body = {"data": json.dumps({"a": "x" * 200}), "content_type": "application/json"}
    https = {"url_scheme": "https"}
    seen = [
        ask(app, "GET", "/api/login", headers={"Origin": ALLOWED}, environ_base=https),
        ask(app, "GET", "/api/login", headers={"Origin": FOREIGN}),
        ask(app, "GET", "/page", headers={"Origin": ALLOWED, "X-Request-ID": "one-of-mine"}),
        ask(app, "GET", "/page", headers={"Host": "api.shop.test"}),
        ask(app, "GET", "/page", headers={"User-Agent": f"sqlmap/1.0 {AGENT}"}),
        ask(app, "GET", "/page", headers={"X-Forwarded-For": "203.0.113.1, 203.0.113.2"}),
        ask(app, "GET", "/page", headers={"X-Forwarded-Proto": "https"}),
        ask(app, "GET", "/", headers={"Accept": "text/html"}, environ_base=HERE),
        ask(app, "GET", "/health"),
        ask(app, "GET", "/metrics", headers={"Authorization": f"Bearer {KEY}"})[:3],
        ask(app, "GET", "/ready"),
        ask(app, "GET", "/static/a.css"),
        *(ask(app, "GET", "/api/who", headers={"Cookie": one}) for one in cookies(app)),
        ask(app, "GET", "/api/boom"),
        ask(app, "GET", "/api/cookie", environ_base=https),
        ask(app, "POST", "/api/take", **json_body, headers={"Origin": FOREIGN}),
        ask(app, "POST", "/api/take", **json_body),
        ask(app, "POST", "/api/take", data={"a": "x" * 200, "b": "y", "c": "z"}),
        ask(app, "POST", "/api/take", data={"a": "x" * 200, "b": (io.BytesIO(b"y"), "y.txt")}),
        ask(app, "GET", "/api/private"),
        ask(app, "GET", "/api/private", headers={"X-API-Key": KEY}),
    ]
    for method, header in (("PUT", "Content-Type"), ("GET", "X-Mine")):
        asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": header}
        seen.append(ask(app, "OPTIONS", "/api/take", headers={"Origin": ALLOWED, **asked}))
    wrong = {"X-API-Key": "wrong" * 8}
    seen += [ask(app, "GET", "/api/private", headers=wrong) for _ in range(3)]
    for n in range(3):
        address = {"REMOTE_ADDR": f"192.0.2.{n + 7}"}
        seen.append(ask(app, "GET", "/api/ping", environ_base=address))
    seen += [ask(app, "GET", "/api/ping") for _ in range(6)]
    seen += [ask(app, method, "/api/both") for method in ("GET", "POST") for _ in range(3)]
    for token in tokens:
        bearer = {"Authorization": f"Bearer {token}"}
        seen.append(ask(app, "GET", "/api/private", headers=bearer))
    seen += [(path.name, path.read_text("utf-8")) for path in files(log)]
    return [normal(repr(one)) for one in seen]


def normal(text: str) -> str:
    for pattern, shown in (
        (r'("time": ?")[^"]*', r"\1T"),
        (r'("duration_ms": ?)[0-9.e-]+', r"\1D"),
        (r"(20\d\d-\d\d-\d\d[T ])?\d\d:\d\d:\d\d[.,]?\d*Z?", "T"),
        (r"\b\d+(\.\d+)? ?ms\b", "D ms"),
        (r"[0-9a-f]{32}", "ID"),
        (r'{"time":"T"[^}]*rate_limit_store_[^}]*}\\n', ""),  # comes when it comes
        (r'"[0-9.]+-4-[0-9]+"', "ETAG"),
        (r"nonce-[A-Za-z0-9_-]+", "nonce-N"),
        (r"(;t=|Retry-After', '|retry in )\d+", r"\1S"),
        (r"line \d+, in|\bat 0x[0-9a-f]+", ""),
        (r"(session=[^;.]*)\.[^;]*", r"\1"),
        (r"Expires=\w+, \d+ (\w+ \d+) [^;']*", r"Expires \1"),
    ):
        text = re.sub(pattern, shown, text)
    return text


# -- what is set, and in which surroundings it matters ---------------------------------------------

STORE = "redis://127.0.0.1:1"  # nobody listens there
LIMITED = {"RATELIMIT_DEFAULT": "5 per minute"}
OVERALL = {"RATELIMIT_APPLICATION": "20 per minute"}
PAGES = {"CORS_ORIGINS": [ALLOWED]}
KEYED = {"API_KEYS": {"tests": {"keys": [HASH]}}}
GOLDEN = {"API_KEYS": {"tests": {"keys": [HASH], "tier": "gold"}}}
CHECKED = {**PAGES, "PRODUCTION": True, "SESSION_COOKIE_SECURE": True}
ISSUER, AUDIENCE = "https://login.shop.test", "https://api.shop.test"


@dataclass
class Case:
    """:param others: values that mean something else than the default, or than the base's.
    :param same: odd ones that mean the same as the default."""

    others: list[Any]
    base: dict[str, Any] = field(default_factory=dict)
    same: tuple[Any, ...] = ()
    with_tokens: bool = False


CASES = {
    "TRUSTED_PROXIES": Case([1, 2], same=(0,)),
    "LOG_FORMAT": Case(["text"]),
    "LOG_LEVEL": Case(["ERROR", "DEBUG"]),
    "LOG_FILE": Case(["{folder}/other.log"]),
    "LOG_SKIP": Case([["/page"], "/health"]),
    "LOG_PATH": Case(["rule"]),
    "LOG_SLOW": Case(["0.000001"], same=(0, 1, 1.5)),
    "LOG_START": Case([True, "true"], same=(False,)),
    "LOG_FIELDS": Case([{"level": "severity"}], same=({},)),
    "SECURITY_LOG_FILE": Case(["{folder}/security.log"]),
    "METRICS_TOKEN": Case([KEY]),
    "METRICS_PATH": Case(["/page"], {"METRICS_TOKEN": KEY}),
    "CORS_ORIGINS": Case([FOREIGN, ALLOWED, "https://*.shop.test"], same=([], {})),
    "CORS_PATH": Case(["/page", ["/api/take", "/health"]], PAGES),
    "CORS_METHODS": Case(["GET"], PAGES),
    "CORS_ALLOW_HEADERS": Case(["X-Mine"], PAGES),
    "CORS_EXPOSE_HEADERS": Case(["X-Mine"], PAGES),
    "CORS_EXTRA_ALLOW_HEADERS": Case(["X-Mine"], PAGES, same=([],)),
    "CORS_EXTRA_EXPOSE_HEADERS": Case(["X-Mine"], PAGES, same=([],)),
    "CORS_MAX_AGE": Case([60, 0], PAGES),
    "CORS_DEBUG": Case([True, "true"], PAGES, same=(False, "false")),
    "CSRF_PROTECTION": Case([False, "false"], same=(True, "true")),
    "CSRF_TRUSTED_ORIGINS": Case([FOREIGN, ["https://evil.test"]], same=([], {})),
    "CSRF_EXEMPT_PATHS": Case(["/api/take", ["/api/"]], same=([], {})),
    "CORS_SUPPORTS_CREDENTIALS": Case([False, "false"], PAGES, same=(True, "true")),
    "RATELIMIT_ENABLED": Case([False, "false"], LIMITED, same=(True, "true")),
    "RATELIMIT_DEFAULT": Case(["2 per minute", "2 per hour; 1 per second"]),
    "RATELIMIT_APPLICATION": Case(["4 per minute"]),
    "RATELIMIT_STORAGE_URI": Case([STORE], LIMITED),
    "RATELIMIT_WORKERS": Case([4], {**LIMITED, "RATELIMIT_STORAGE_URI": STORE}, same=(1,)),
    "RATELIMIT_WORKER": Case(
        [3],
        {
            "RATELIMIT_DEFAULT": "6 per minute",
            "RATELIMIT_STORAGE_URI": STORE,
            "RATELIMIT_WORKERS": 4,
        },
    ),
    "RATELIMIT_STRATEGY": Case(["fixed-window"], LIMITED),
    "RATELIMIT_HEADERS_ENABLED": Case([False, "false"], LIMITED, same=(True, "true")),
    "RATELIMIT_MEMORY_COUNTERS": Case([1], {"RATELIMIT_DEFAULT": "1 per minute"}),
    "RATELIMIT_KEY_FUNC": Case([lambda: request.path], LIMITED),
    "RATELIMIT_HEADER_LIMIT": Case(["X-RateLimit-Limit"], LIMITED),
    "RATELIMIT_HEADER_REMAINING": Case(["X-RateLimit-Remaining"], LIMITED),
    "RATELIMIT_HEADER_RESET": Case(["X-RateLimit-Reset"], LIMITED),
    "RATELIMIT_ON_BREACH_CALLBACK": Case([lambda limit: Response("too many", 429)], LIMITED),
    "RATELIMIT_DEFAULTS_PER_METHOD": Case([True], LIMITED, same=(False,)),
    "RATELIMIT_DEFAULTS_COST": Case([2, lambda: 2], LIMITED, same=(1,)),
    "RATELIMIT_DEFAULTS_EXEMPT_WHEN": Case([lambda: True], LIMITED),
    "RATELIMIT_DEFAULTS_DEDUCT_WHEN": Case([lambda response: False], LIMITED),
    "RATELIMIT_APPLICATION_PER_METHOD": Case([True], OVERALL, same=(False,)),
    "RATELIMIT_APPLICATION_COST": Case([2, lambda: 2], OVERALL, same=(1,)),
    "RATELIMIT_APPLICATION_EXEMPT_WHEN": Case([lambda: True], OVERALL),
    "RATELIMIT_APPLICATION_DEDUCT_WHEN": Case([lambda response: False], OVERALL),
    "RATELIMIT_KEY": Case(["caller"], {**LIMITED, **KEYED}, same=("address",)),
    "RATELIMIT_CALLERS": Case(["7 per minute"], {**LIMITED, **KEYED}),
    "RATELIMIT_TIERS": Case([{"gold": "8 per minute"}], {**LIMITED, **GOLDEN}, same=({},)),
    "RATELIMIT_ALLOW": Case(["192.0.2.0/24", ["192.0.2.1"]], LIMITED, same=([],)),
    "BLOCKED_USER_AGENTS": Case([["sqlmap"], "nikto, sqlmap"], same=([], {})),
    "API_KEYS": Case([KEYED["API_KEYS"]], same=({},)),
    "API_KEY_FAILURES": Case(["1 per minute", "2/hour"], KEYED),
    "JWT_JWKS": Case(["{folder}/jwks.json"], {"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}),
    "JWT_ISSUER": Case(["https://other.test"], with_tokens=True),
    "JWT_AUDIENCE": Case(["https://other.test"], with_tokens=True),
    "JWT_REQUIRED_CLAIMS": Case([{"kind": "access"}], with_tokens=True, same=({},)),
    "JWT_SCOPE_CLAIMS": Case(["roles"], with_tokens=True),
    "JWT_TIER_CLAIM": Case(["plan"], with_tokens=True),
    "JWT_ALGORITHMS": Case(["RS512", "PS256,RS512"], with_tokens=True),
    "JWT_LEEWAY": Case([0], with_tokens=True),
    "TRUSTED_HOSTS": Case([["api.shop.test"], "localhost", ".shop.test"], same=([], {})),
    "MAX_CONTENT_LENGTH": Case([10]),
    "MAX_FORM_MEMORY_SIZE": Case([100]),
    "MAX_FORM_PARTS": Case([1]),
    "REQUEST_CONTENT_TYPES": Case([{"POST": ["text/plain"]}], same=({},)),
    "SECURITY_HEADERS": Case([{"X-Frame-Options": ""}, {"X-Mine": "x"}], same=({},)),
    "SECURITY_CSP_PAGE": Case(["default-src 'self'"]),
    "SECURITY_CSP_API": Case(["default-src 'self'"]),
    "SECURITY_PATHS": Case([{"/page": {"X-Frame-Options": "SAMEORIGIN"}}], same=({},)),
    "SECURITY_COOKIES": Case(["HttpOnly", "SameSite=Strict"]),
    "SECURITY_HTTPS": Case([True, "true"], same=(False, "false")),
    "SECURITY_HTTPS_EXCEPT": Case(["/page", ["/api/"]], {"SECURITY_HTTPS": True}),
    "FIRST_PAGE": Case([True, "true"], same=(False,)),
    "PRODUCTION": Case([True], PAGES, same=(False,)),
    "CHECKS_SILENCED": Case([["W009"], "W009,W010"], CHECKED, same=([], {})),
}
# Flask's own keys that a middleware reads, sets or stands beside. TRAP_HTTP_EXCEPTIONS and
# TRAP_BAD_REQUEST_ERRORS are for exceptions without a handler: there is one.
FLASKS = {
    "SECRET_KEY": Case([OLDER]),
    "SECRET_KEY_FALLBACKS": Case([[OLDER]]),
    "SESSION_COOKIE_NAME": Case(["sid"]),
    "SESSION_COOKIE_DOMAIN": Case(["shop.test"]),
    "SESSION_COOKIE_PATH": Case(["/api"]),
    "SESSION_COOKIE_HTTPONLY": Case([False]),
    "SESSION_COOKIE_SECURE": Case([True]),
    "SESSION_COOKIE_PARTITIONED": Case([True]),
    "SESSION_COOKIE_SAMESITE": Case(["Strict"]),
    "SESSION_REFRESH_EACH_REQUEST": Case([False]),
    "PERMANENT_SESSION_LIFETIME": Case([60]),
    "APPLICATION_ROOT": Case(["/shop"]),
    "PROPAGATE_EXCEPTIONS": Case([True]),
    "TESTING": Case([True]),
    "DEBUG": Case([True]),
    "SEND_FILE_MAX_AGE_DEFAULT": Case([3600]),
    "PROVIDE_AUTOMATIC_OPTIONS": Case([False]),
    "USE_X_SENDFILE": Case([True]),
    "MAX_COOKIE_SIZE": Case([10]),
}
# Their other keys: obeyed, or refused by name.
LIMITERS = [value for name, value in vars(ConfigVars).items() if name.isupper()]
THEIRS = sorted({*CONFIG_OPTIONS, *LIMITERS} - {*DOCUMENTED})
ODD: list[Any] = [True, False, 0, 1, -1, 1.5, "x", "true", "-1", [], ["x"], [1], {}, {"x": "y"}]
ODD += [{"x": 1}, b"x", object(), "x y;,=", "\x00", "é", 10**20]


# -- the tests -------------------------------------------------------------------------------------


Seen = list[str] | str
Defaults = dict[str, Seen]


class Trial:
    """One key in its surroundings: what is seen with the default, and with another value."""

    def __init__(
        self, make: Callable[..., Flask], key: str, case: Case, folder: Path, defaults: Defaults
    ) -> None:
        self.make, self.key, self.case, self.folder = make, key, case, folder
        self.defaults = defaults
        self.number = 0
        self.tokens: list[str] = []
        self.base = dict(case.base)
        if case.with_tokens:
            self.base |= {"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}
            self.base["JWT_JWKS"] = "{folder}/jwks.json"

    def default(self) -> Seen:
        """What is seen without a value: the same for all keys in these surroundings."""
        surroundings = repr(self.base)
        if surroundings not in self.defaults:
            self.defaults[surroundings] = self.see()
        return self.defaults[surroundings]

    def see(self, *value: Any) -> Seen:
        """What is seen with this value, or without one; the message if it is refused by name."""
        self.number += 1
        folder = self.folder / str(self.number)
        folder.mkdir()
        os.chdir(folder)
        (folder / "static").mkdir()
        (folder / "static" / "a.css").write_text("a {}")
        tokens = write_keys(folder)
        settings = {"LOG_FILE": "{folder}/requests.log", "LOG_AT_ONCE": True, **self.base}
        if value:
            settings[self.key] = value[0]
        settings = {key: in_folder(one, folder) for key, one in settings.items()}
        try:
            app = self.make(settings)
        except ValueError as error:
            said = str(error)
            assert self.key in said.partition(":")[0] or f"{self.key}:" in said, said
            return said
        app.static_folder = str(folder / "static")
        return [one.replace(str(folder), "F") for one in look(app, tokens, folder)]


def in_folder(value: Any, folder: Path) -> Any:
    return value.replace("{folder}", str(folder)) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def trial(
    create_app: Callable[..., Flask], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Trial]:
    defaults: Defaults = {}

    def start(key: str, case: Case) -> Trial:
        return Trial(create_app, key, case, tmp_path_factory.mktemp("seen"), defaults)

    return start


@pytest.mark.parametrize("key", [*CASES, *FLASKS])
def test_a_setting_has_an_effect_or_is_refused(key: str, trial: Callable[..., Trial]) -> None:
    case = CASES.get(key) or FLASKS[key]
    tried = trial(key, case)
    default = tried.default()
    assert tried.see() == default, "what is seen differs by itself"
    without = [value for value in case.others if tried.see(value) == default]
    assert without == []


@pytest.mark.parametrize("key", CASES)
def test_whatever_is_written_has_an_effect_or_is_refused(
    key: str, trial: Callable[..., Trial]
) -> None:
    case = CASES[key]
    tried = trial(key, case)
    default = tried.default()
    same = list(map(repr, case.same))
    without = [v for v in ODD if repr(v) not in same and tried.see(v) == default]
    assert without == []


@pytest.mark.parametrize("key", sorted({*CASES} - {"LOG_FILE", "JWT_ISSUER", "JWT_AUDIENCE"}))
def test_none_is_the_default(key: str, trial: Callable[..., Trial]) -> None:
    tried = trial(key, CASES[key])
    assert tried.see(None) == tried.default()


@pytest.mark.parametrize("key", THEIRS)
@pytest.mark.parametrize("value", ["x", True, 1])
def test_a_key_of_an_extension_is_obeyed_or_refused(
    key: str, value: Any, trial: Callable[..., Trial]
) -> None:
    tried = trial(key, Case([], {**PAGES, **LIMITED}))
    assert tried.see(value) != tried.default()


# -- what needs a store, a clock or a file of its own ----------------------------------------------


@pytest.fixture
def store() -> Iterator[str]:
    with redis() as server:
        yield f"redis://127.0.0.1:{server.port}"


def limited(make: Callable[..., Flask], uri: str, **settings: Any) -> Flask:
    app = make({**LIMITED, "RATELIMIT_STORAGE_URI": uri, "LOG_FILE": os.devnull, **settings})
    app.test_client().get("/api/ping")
    return app


def test_storage_options_and_the_key_prefix_are_seen_in_the_store(
    create_app: Callable[..., Flask], store: str
) -> None:
    options = {"db": 3, "client_name": "limits-of-a-test"}
    limited(create_app, store, RATELIMIT_STORAGE_OPTIONS=options, RATELIMIT_KEY_PREFIX="mine")
    with Redis.from_url(store, db=3, decode_responses=True) as third:
        keys = list(third.scan_iter())
        assert keys and all("mine" in key for key in keys)
        assert "limits-of-a-test" in {client["name"] for client in third.client_list()}
    with Redis.from_url(store) as zero:
        assert list(zero.scan_iter()) == []


def test_the_storage_timeout_is_how_long_a_store_may_be_silent(
    create_app: Callable[..., Flask], store: str
) -> None:
    states = []
    for seconds in (0.25, 10):
        app = limited(create_app, store, RATELIMIT_STORAGE_TIMEOUT=seconds)
        with Redis.from_url(store) as admin:
            admin.client_pause(1500)
            app.test_client().get("/api/ping")
            states.append(app.extensions["rate_limiting"].state)
            admin.client_unpause()
    assert states == ["fallback", "shared"]


def test_log_at_once_is_whether_a_line_is_written_before_the_response_is_closed(
    create_app: Callable[..., Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = importlib.import_module("app.middleware.engine.writer")
    monkeypatch.setattr(lines, "GATHER_SECONDS", 60)
    written = {}
    for at_once in (True, False):
        log = tmp_path / f"{at_once}.log"
        app = create_app({"LOG_FILE": str(log), "LOG_AT_ONCE": at_once})
        for _ in range(5):
            ask(app, "GET", "/api/ping")
        written[at_once] = log.read_text("utf-8").count("request_completed")
    lines._writer.stop()
    assert written[True] == 5
    assert written[False] < 5  # not none: a thread of before may have been about to write


def test_the_jwks_max_age_is_when_keys_are_read_again(
    create_app: Callable[..., Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_sets = importlib.import_module("app.middleware.engine.key_sets")
    clock = SimpleNamespace(monotonic=time.monotonic, time=time.time)
    monkeypatch.setattr(key_sets, "time", clock)
    good, _ = write_keys(tmp_path)
    jwks = tmp_path / "jwks.json"
    settings = {"JWT_JWKS": str(jwks), "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}
    original, statuses = jwks.read_text(), []
    for age in (300, 60):
        jwks.write_text(original)
        clock.monotonic = time.monotonic
        app = create_app({**settings, "LOG_FILE": os.devnull, "JWT_JWKS_MAX_AGE": age})
        add_views(app)
        jwks.write_text(original.replace('"one"', '"two"'))
        clock.monotonic = lambda: time.monotonic() + 100
        bearer = {"Authorization": f"Bearer {good}"}
        statuses.append(ask(app, "GET", "/api/private", headers=bearer)[2])
    assert statuses == ["200 OK", "401 UNAUTHORIZED"]


OTHERWISE = {
    "RATELIMIT_STORAGE_OPTIONS",
    "RATELIMIT_KEY_PREFIX",
    "RATELIMIT_STORAGE_TIMEOUT",
    "LOG_AT_ONCE",
    "JWT_JWKS_MAX_AGE",
}


def test_every_documented_key_is_on_trial() -> None:
    assert set(DOCUMENTED) == {*CASES, *OTHERWISE}
