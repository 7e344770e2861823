"""What app/checks promises, on applications of these tests: not on what app/config.py says."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from flask import Flask
from flask.cli import ScriptInfo
from flask.views import MethodView

from app.checks import configure_checks
from app.checks.command import check_command
from app.checks.finding import (
    EVERY_START,
    EVERYWHERE,
    PRODUCTION,
    Finding,
    findings,
    in_production,
)
from app.checks.operation import known_keys
from app.checks.service import SERVERS, Service
from app.config import config_by_name
from tests.promises import CONFIGURE, PRESENT, needs, part


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


GOOD_KEY = "3b1f0c5de2a94786b1f5a0c39d2e7164"


SAFE: dict[str, Any] = {
    "PRODUCTION": True,
    "SECRET_KEY": GOOD_KEY,
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "CORS_ORIGINS": "https://app.shop.test",
    "RATELIMIT_DEFAULT": "200 per hour;50 per minute",
    "TRUSTED_HOSTS": "api.shop.test",
    "MAX_CONTENT_LENGTH": 1048576,
    "API_KEYS": {"mobile": {"keys": ["ab" * 32], "scopes": ["orders:read"]}},
}
OF_THE_README = "beb4344d0ff4f238ec2232cc2e6543aa56d6509277cf520c5ea2f7ad4859fe96"
OF_FLASKS_DOCUMENTATION = "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf"
FOUR_KEYS = [sha256(f"k{number}") for number in range(4)]
VARIABLES = ("FLASK_", "WEB_CONC", "GRANIAN_", "GUNICORN_", "PYTHON", "OAUTHLIB_", "WERKZEUG_")
CSP = "Content-Security-Policy"
HSTS = "Strict-Transport-Security"
# identifier, the settings in which it is found, and the middleware that has to be there
SEEDED: list[tuple[str, dict[str, Any], str]] = [
    ("E001", {"SECRET_KEY": ""}, ""),
    ("E002", {"SECRET_KEY": "short"}, ""),
    ("E002", {"SECRET_KEY": 10123456789012345678901234567890123456789}, ""),
    ("E002", {"SECRET_KEY": [GOOD_KEY]}, ""),
    ("E002", {"SECRET_KEY_FALLBACKS": ["old"]}, ""),
    ("E002", {"SECRET_KEY_FALLBACKS": "an older key, as text and not in a list"}, ""),
    ("E002", {"SECRET_KEY_FALLBACKS": " "}, ""),
    ("E003", {"SECRET_KEY": "change-me-" + GOOD_KEY}, ""),
    ("E003", {"SECRET_KEY": "x" * 40}, ""),
    ("E004", {"DEBUG": True}, ""),
    ("E005", {"TESTING": True}, ""),
    ("E006", {"CORS_ORIGINS": "https://app.shop.test,http://app.shop.test"}, "cors"),
    ("E007", {"WEB_CONCURRENCY": "4"}, "rate_limiting"),
    ("E007", {"WEB_CONCURRENCY": " 2"}, "rate_limiting"),
    ("E007", {"GRANIAN_WORKERS": "2"}, "rate_limiting"),
    ("E008", {"SESSION_COOKIE_HTTPONLY": False}, ""),
    ("E018", {"METRICS_TOKEN": "change-me-" + GOOD_KEY}, "metrics"),
    ("E018", {"METRICS_TOKEN": "abcd" * 8}, "metrics"),
    ("E018", {"METRICS_TOKEN": GOOD_KEY}, "metrics"),
    ("W001", {"PROPAGATE_EXCEPTIONS": True}, ""),
    ("W002", {"CORS_ORIGINS": "http://localhost:3000"}, "cors"),
    ("W002", {"CORS_ORIGINS": "https://[::1]:3000"}, "cors"),
    ("W003", {"CORS_ORIGINS": "https://app.example.com"}, "cors"),
    ("W004", {"CORS_ORIGINS": "https://*.shop.test"}, "cors"),
    ("W005", {"RATELIMIT_ENABLED": False}, ""),
    ("W005", {"RATELIMIT_DEFAULT": None}, ""),
    ("W009", {"TRUSTED_HOSTS": ""}, ""),
    ("W010", {"MAX_CONTENT_LENGTH": None}, ""),
    ("W011", {"SESSION_COOKIE_SAMESITE": None}, ""),
    ("W014", {"LOG_FORMAT": "text"}, "logging"),
    ("W015", {"SECURITY_HEADERS": {HSTS: None}}, "security"),
    ("W015", {"SECURITY_HEADERS": {HSTS.lower(): "max-age=60"}}, "security"),
    ("W016", {"SECURITY_CSP_PAGE": "default-src 'self'; script-src 'unsafe-inline'"}, "security"),
    ("W016", {"SECURITY_CSP_PAGE": ""}, "security"),
    ("W016", {"SECURITY_CSP_API": "img-src 'self'; frame-ancestors 'none'"}, "security"),
    ("W016", {"SECURITY_CSP_PAGE": "script-src https:"}, "security"),
    ("W016", {"SECURITY_CSP_PAGE": "default-src 'self' *"}, "security"),
    ("W016", {"SECURITY_CSP_PAGE": "default-src 'self'; script-src data: 'self'"}, "security"),
    ("W016", {"SECURITY_CSP_PAGE": "script-src 'self'; script-src-elem https://*"}, "security"),
    ("W016", {"SECURITY_CSP_PAGE": "script-src 'self' http://cdn.shop.test"}, "security"),
    ("W018", {"SESSION_COOKIE_SECURE": False}, ""),
    ("W019", {"API_KEY_FAILURES": "1001 per minute"}, "authentication"),
    ("W019", {"API_KEY_FAILURES": "17/second"}, "authentication"),
    ("W020", {"TRUSTED_HOSTS": ".com"}, ""),
    ("W020", {"TRUSTED_HOSTS": "api.shop.test,.co.uk"}, ""),
    ("W020", {"TRUSTED_HOSTS": "api"}, ""),
    ("W022", {"FLASK_PRODUCTION": "false", "PRODUCTION": False}, ""),
    ("W023", {"LOG_LEVEL": "debug"}, "logging"),
    ("W024", {"SECURITY_HEADERS": {"x-content-type-options": None}}, "security"),
    ("W024", {"SECURITY_HEADERS": {"X-Frame-Options": ""}}, "security"),
    ("W024", {"SECURITY_HEADERS": {"Cache-Control": None}}, "security"),
    ("W024", {"SECURITY_HEADERS": {"Cache-Control": "public, max-age=60"}}, "security"),
    ("W024", {"SECURITY_HEADERS": {"Referrer-Policy": "unsafe-url"}}, "security"),
    ("W030", {"CSRF_PROTECTION": "false"}, "csrf"),
    ("W030", {"CSRF_EXEMPT_PATHS": "/hooks/,/"}, "csrf"),
    ("E010", {"CSRF_TRUSTED_ORIGINS": "https://*.github.io"}, "csrf"),
    ("E006", {"CSRF_TRUSTED_ORIGINS": "http://app.shop.test"}, "csrf"),
    ("W002", {"CSRF_TRUSTED_ORIGINS": "http://localhost:3000"}, "csrf"),
    ("W005", {"RATELIMIT_ALLOW": "10.0.0.0/8,::/0"}, "rate_limiting"),
    ("W055", {"SECURITY_PATHS": {"docs": {"X-Frame-Options": "SAMEORIGIN"}}}, "security"),
    ("W025", {"FLASK_CORS_ORIGIN": "https://app.shop.test"}, "cors"),
    ("E003", {"SECRET_KEY": "0123456789abcdef" * 4}, ""),
    ("E003", {"SECRET_KEY": "my-flask-secret-key-for-the-shop-1"}, ""),
    ("E003", {"SECRET_KEY": "k9x2mQ7z" * 5}, ""),
    ("E003", {"SECRET_KEY": "abcabcaabcbabcacbabcabcabacbacba"}, ""),
    ("E003", {"SECRET_KEY": OF_FLASKS_DOCUMENTATION}, ""),
    ("E003", {"SECRET_KEY_FALLBACKS": ["please-change-me-please-change-it-please"]}, ""),
    ("W026", {"SECRET_KEY_FALLBACKS": [GOOD_KEY]}, ""),
    ("W026", {"SECRET_KEY_FALLBACKS": [GOOD_KEY[::-1] + letter for letter in "pqrs"]}, ""),
    ("W027", {"PERMANENT_SESSION_LIFETIME": 365 * 86400}, ""),
    ("W027", {"PERMANENT_SESSION_LIFETIME": timedelta(days=3650)}, ""),
    ("E009", {"SESSION_COOKIE_DOMAIN": ".co.uk"}, ""),
    ("E009", {"SESSION_COOKIE_DOMAIN": "github.io"}, ""),
    ("E009", {"REMEMBER_COOKIE_DOMAIN": ".com"}, ""),
    ("W050", {"CORS_MAX_AGE": 31536000}, "cors"),
    ("I005", {"SESSION_COOKIE_DOMAIN": "shop.test"}, ""),
    ("I006", {"SESSION_COOKIE_NAME": "sid"}, ""),
    ("W028", {"REMEMBER_COOKIE_SECURE": False}, ""),
    ("W028", {"REMEMBER_COOKIE_HTTPONLY": False}, ""),
    ("W028", {"WTF_CSRF_ENABLED": False}, ""),
    ("W028", {"JWT_COOKIE_SECURE": False}, ""),
    ("W020", {"TRUSTED_HOSTS": ".github.io"}, ""),
    ("W020", {"TRUSTED_HOSTS": ".vercel.app"}, ""),
    ("W020", {"TRUSTED_HOSTS": "api.example.com"}, ""),
    ("W020", {"TRUSTED_HOSTS": "localhost,127.0.0.1"}, ""),
    ("W010", {"MAX_CONTENT_LENGTH": 10**12}, ""),
    ("W010", {"MAX_FORM_MEMORY_SIZE": 10**10}, ""),
    ("W010", {"MAX_FORM_PARTS": 10**7}, ""),
    ("E010", {"CORS_ORIGINS": "https://*.github.io"}, "cors"),
    ("E010", {"CORS_ORIGINS": "https://*.co.uk"}, "cors"),
    ("W029", {"RATELIMIT_DEFAULT": "1000000 per second"}, "rate_limiting"),
    ("W029", {"RATELIMIT_DEFAULT": "1000000 per hour;1000000 per second"}, "rate_limiting"),
    ("W033", {"RATELIMIT_MEMORY_COUNTERS": 10**9}, "rate_limiting"),
    ("W034", {"RATELIMIT_STORAGE_TIMEOUT": 9}, "rate_limiting"),
    ("E007", {"GUNICORN_CMD_ARGS": "--workers 4"}, "rate_limiting"),
    ("E012", {"API_KEYS": {"mobile": {"keys": ["0" * 64]}}}, "authentication"),
    ("E012", {"API_KEYS": {"mobile": {"keys": [sha256("secret")]}}}, "authentication"),
    ("E012", {"API_KEYS": {"mobile": {"keys": [OF_THE_README]}}}, "authentication"),
    ("W035", {"API_KEYS": {"mobile": {"keys": FOUR_KEYS}}}, "authentication"),
    ("W015", {"SECURITY_HEADERS": {HSTS: "max-age=31536000; preload"}}, "security"),
    ("W015", {"SECURITY_PATHS": {"/docs/": {HSTS: ""}}}, "security"),
    ("W024", {"SECURITY_HEADERS": {"Referrer-Policy": "no-referrer-when-downgrade"}}, "security"),
    ("W024", {"SECURITY_HEADERS": {"Permissions-Policy": "camera=*"}}, "security"),
    ("W024", {"SECURITY_HEADERS": {"X-XSS-Protection": "1; mode=block"}}, "security"),
    ("W024", {"SECURITY_PATHS": {"/docs/": {"X-Content-Type-Options": ""}}}, "security"),
    ("W016", {"SECURITY_CSP_PAGE": "script-src 'self' https://*.github.io"}, "security"),
    ("W016", {"SECURITY_PATHS": {"/docs/": {CSP: "script-src 'unsafe-eval'"}}}, "security"),
    ("W038", {"SECURITY_CSP_PAGE": "script-src 'self'; frame-ancestors *"}, "security"),
    ("W038", {"SECURITY_CSP_PAGE": "default-src 'self'; object-src *"}, "security"),
    ("W038", {"SECURITY_CSP_PAGE": "default-src 'self'; form-action https:"}, "security"),
    ("W040", {"LOG_FILE": "/dev/null"}, "logging"),
    ("W040", {"LOG_LEVEL": "CRITICAL"}, "logging"),
    ("W042", {"TRUSTED_PROXIES": 9}, "proxy"),
    ("W044", {"SQLALCHEMY_ECHO": True}, ""),
    ("W044", {"EXPLAIN_TEMPLATE_LOADING": True}, ""),
    ("W044", {"GUNICORN_CMD_ARGS": "--reload"}, ""),
    ("W044", {"GRANIAN_RELOAD": "1"}, ""),
    ("W046", {"SQLALCHEMY_DATABASE_URI": "postgresql://shop:shop@db.shop.test/shop"}, ""),
    ("W046", {"CELERY_BROKER_URL": "amqp://guest:guest@mq.shop.test//"}, ""),
    ("W047", {"DATABASE_URL": "postgresql://shop:x7Qm2v@db.shop.test/shop?sslmode=disable"}, ""),
    ("W047", {"MAIL_SERVER": "mail.shop.test", "MAIL_PASSWORD": "x7Qm2vKp"}, ""),
    ("W048", {"CORS_ORIGINS ": "https://app.shop.test"}, "cors"),
    ("W049", {"GUNICORN_CMD_ARGS": "--forwarded-allow-ips='*'"}, ""),
    ("W049", {"GUNICORN_CMD_ARGS": "--forwarded-allow-ips=10.0.0.1,*"}, ""),
    ("E015", {"PYTHONHTTPSVERIFY": "0"}, ""),
    ("E015", {"OAUTHLIB_INSECURE_TRANSPORT": "1"}, ""),
    ("E015", {"WERKZEUG_DEBUG_PIN": "off"}, ""),
    ("I002", {}, "logging"),
    ("I003", {}, "proxy"),
    ("I004", {"TRUSTED_PROXIES": 1}, "proxy"),
]
SANE: list[dict[str, Any]] = [
    {},
    {"API_KEY_FAILURES": "1000 per minute"},
    {"API_KEY_FAILURES": "90000 per day"},
    {"TRUSTED_HOSTS": "api.shop.test,.shop.test,shop.co.uk,10.0.0.1,localhost"},
    {"SECURITY_CSP_PAGE": "default-src 'none'; script-src 'nonce' 'self'; img-src * data:"},
    {"SECURITY_CSP_PAGE": "script-src 'nonce' 'strict-dynamic' https: 'unsafe-inline'"},
    {"SECURITY_CSP_PAGE": "script-src 'self' https://cdn.shop.test"},
    {"SECURITY_HEADERS": {"X-Frame-Options": "SAMEORIGIN", "X-Service": "shop"}},
    {"SECURITY_HEADERS": {"Cache-Control": "no-cache", "Permissions-Policy": None}},
    {"LOG_LEVEL": "ERROR"},
    {"LOG_LEVEL": "WARNING", "SECURITY_LOG_FILE": "-"},
    {"SECRET_KEY": "Zq3-8mWv_xT1cRk9LpUoJd7HsEyNfBg2"},
    {"SECRET_KEY": "correct horse battery staple, and four more words"},
    {"SECRET_KEY_FALLBACKS": [GOOD_KEY[::-1]]},
    {"CORS_ORIGINS": ["https://app.shop.test", "capacitor://localhost", "https://admin.shop.test"]},
    {"CORS_ORIGINS": "https://*.shop.test", "CORS_SUPPORTS_CREDENTIALS": False},
    {"RATELIMIT_DEFAULT": "100000 per hour;10000 per minute;500 per second"},
    {"RATELIMIT_DEFAULT": "100 per second"},
    {"RATELIMIT_DEFAULT": "10000 per second;50 per minute"},
    {"MAX_CONTENT_LENGTH": 100 * 1024 * 1024, "MAX_FORM_MEMORY_SIZE": 2_000_000},
    {"PERMANENT_SESSION_LIFETIME": timedelta(days=30), "SESSION_COOKIE_NAME": "__Host-shop"},
    {"SESSION_COOKIE_DOMAIN": "shop.co.uk", "SESSION_COOKIE_NAME": "__Secure-shop"},
    {"SESSION_COOKIE_SAMESITE": "Strict", "REMEMBER_COOKIE_SECURE": True},
    {"TRUSTED_PROXIES": 2, "TRUSTED_HOSTS": [".shop.github.io"]},
    {"SECURITY_HEADERS": {HSTS: "max-age=63072000; includeSubDomains; preload"}},
    {"SECURITY_HEADERS": {"Permissions-Policy": "camera=(self), geolocation=()"}},
    {"SECURITY_PATHS": {"/docs/": {CSP: "style-src 'self' 'unsafe-inline'; img-src *"}}},
    {"SQLALCHEMY_DATABASE_URI": "postgresql://shop:x7Qm2vKpR4@db/shop?sslmode=verify-full"},
    {"SQLALCHEMY_DATABASE_URI": "sqlite:////var/lib/shop.sqlite", "SQLALCHEMY_ECHO": False},
    {"MAIL_SERVER": "mail.shop.test", "MAIL_PASSWORD": "x7Qm2vKp", "MAIL_USE_TLS": True},
    {"GUNICORN_CMD_ARGS": "--workers=1 --threads 8"},
    {"GUNICORN_CMD_ARGS": "--reload-engine auto --forwarded-allow-ips 10.0.0.1"},
    {"API_KEYS": {"a": {"keys": [sha256("k1"), sha256("k2")]}, "b": {"keys": [sha256("k3")]}}},
    {"TRUSTED_HOSTS": "api.shop.co.uk,.shop.co.uk"},
]
if PUBLISHED := getattr(config_by_name.get("development"), "SECRET_KEY", None):
    SEEDED.append(("E003", {"SECRET_KEY": PUBLISHED}, ""))


def is_variable(name: str) -> bool:
    """A blank at the end marks a key that stands in the environment as it is."""
    return name.startswith(VARIABLES) or name.endswith(" ")


def service(*without: str, **settings: Any) -> Service:
    """A service with one view and all middlewares that are here, as the settings say."""
    values = {**SAFE, **settings}
    app = Flask("app")  # the package whose files the checks look at
    app.config.update({key: value for key, value in values.items() if not is_variable(key)})
    for name in PRESENT:
        if name not in without:
            CONFIGURE[name](app)
    app.add_url_rule("/api/ping", "ping", lambda: "pong")
    return Service(app, {name.strip(): values[name] for name in values if is_variable(name)})


def codes(checked: Service) -> set[str]:
    return {finding.code for finding in findings(checked)}


def reasons(checked: Service, code: str) -> list[str]:
    return [finding.reason for finding in findings(checked) if finding.code == code]


def check(app: Flask, *options: str) -> Any:
    if "check" not in app.cli.commands:
        app.cli.add_command(check_command)
    return app.test_cli_runner().invoke(args=["check", *options])


@pytest.fixture(autouse=True)
def without_variables_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in filter(is_variable, list(os.environ)):
        monkeypatch.delenv(name)


# -- what is found, and what is not ----------------------------------------------------------------


@pytest.mark.parametrize(("code", "settings", "middleware"), SEEDED, ids=str)
def test_a_risk_is_found_and_said_with_a_remedy(
    code: str, settings: dict[str, Any], middleware: str
) -> None:
    if middleware and middleware not in PRESENT:
        pytest.skip(f"this service has no {middleware}")
    (finding, *_) = [f for f in findings(service(**settings)) if f.code == code]
    assert finding.reason
    assert finding.remedy


def test_a_remedy_says_where_the_setting_stands() -> None:
    def remedies(**settings: Any) -> list[str]:
        found = findings(service(PROPAGATE_EXCEPTIONS=True, **settings))
        return [finding.remedy for finding in found if finding.code == "W001"]

    assert remedies() == ["remove PROPAGATE_EXCEPTIONS in app/config.py"]
    assert remedies(FLASK_PROPAGATE_EXCEPTIONS="true") == ["remove FLASK_PROPAGATE_EXCEPTIONS"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("LOG_FORMAT", "text"),
        ("LOG_LEVEL", "debug"),
        ("SECURITY_LOG_FILE", ""),
        ("METRICS_TOKEN", ""),
        ("RATELIMIT_MEMORY_COUNTERS", ""),
        ("RATELIMIT_STORAGE_TIMEOUT", ""),
        ("RATELIMIT_WORKERS", ""),
    ],
)
def test_blanks_around_a_value_change_no_finding(key: str, value: str) -> None:
    assert codes(service(**{key: f" {value}\t"})) == codes(service(**{key: value}))


@needs("rate_limiting")
@pytest.mark.parametrize("settings", SANE, ids=str)
def test_what_is_no_risk_is_not_called_one(settings: dict[str, Any]) -> None:
    assert {code for code in codes(service(**settings)) if code[0] != "I"} == set()


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ([GOOD_KEY], "SECRET_KEY is read as a list, not as text"),
        (10**40, "SECRET_KEY is read as a number"),
        ("short", "SECRET_KEY has 5 characters, which can be tried"),
    ],
)
def test_a_key_is_called_what_it_is(key: object, reason: str) -> None:
    assert reasons(service(SECRET_KEY=key), "E002") == [reason]


def test_old_keys_as_text_are_one_finding_and_not_one_for_each_character() -> None:
    found = reasons(service(SECRET_KEY_FALLBACKS=GOOD_KEY + "x"), "E002")
    assert found == ["SECRET_KEY_FALLBACKS is not a list of keys"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("CORS_ORIGIN", "CORS_ORIGINS"),
        ("RATE_LIMIT_DEFAULT", "RATELIMIT_DEFAULT"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
        ("API_KEY", "API_KEYS"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("SECRETKEY", "SECRET_KEY"),
        ("SECURITY_HEADER__Referrer-Policy", "SECURITY_HEADERS"),
    ],
)
@pytest.mark.parametrize("production", [True, False])
def test_a_variable_that_is_nearly_one_of_ours_is_found_in_every_mode(
    production: bool, written: str, meant: str
) -> None:
    checked = service(PRODUCTION=production, **{f"FLASK_{written}": "1"})
    if meant not in known_keys(checked.app):
        pytest.skip("this service has no such key")
    said = f"FLASK_{written.partition('__')[0]} is not known; did you mean FLASK_{meant}?"
    assert reasons(checked, "W025") == [said]


def test_a_cookie_that_scripts_can_read_is_found_by_its_line(tmp_path: Path) -> None:
    lines = ["r.set_cookie('a', '1')", "r.set_cookie('b', '1', httponly=False)", "set_cookie('c')"]
    (tmp_path / "views.py").write_text("\n".join(lines), "utf-8")
    checked = service()
    checked.app.root_path = str(tmp_path)
    assert reasons(checked, "W031") == ["views.py:1 sets a cookie that scripts can read"]


def test_files_of_the_package_that_python_would_not_read_stop_no_start(tmp_path: Path) -> None:
    sets = b"def f(r):\n    r.set_cookie('a', '1')\n"
    (tmp_path / ".#views.py").symlink_to("somebody@a-machine.123")  # while Emacs has it open
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "old.py").write_bytes(b"print 'a'\n" + sets)
    (tmp_path / "empty.py").write_bytes(bytes(9) + sets)
    (tmp_path / "latin.py").write_bytes(b"# -*- coding: latin-1 -*-\nA = '\xe9'\n" + sets)
    (tmp_path / "mark.py").write_bytes(b"\xef\xbb\xbf" + sets)
    checked = service()
    checked.app.root_path = str(tmp_path)
    found = [f"{name} sets a cookie that scripts can read" for name in ("latin.py:4", "mark.py:2")]
    assert reasons(checked, "W031") == found


def test_a_cookie_of_flask_login_that_is_less_safe_than_the_session_is_found() -> None:
    safe = {f"REMEMBER_COOKIE_{name}": True for name in ("SECURE", "HTTPONLY", "SAMESITE")}
    for missing in safe:
        checked = service(**{**safe, missing: None})
        assert reasons(checked, "W032") == []  # Flask-Login is not in use
        vars(checked.app)["login_manager"] = object()
        assert reasons(checked, "W032") == [f"{missing} is off: it is worth as much as the session"]


def test_variables_of_flask_and_of_ones_own_are_not_called_misspelt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config_by_name["development"], "CORS_ORIGIN", "one's own", raising=False)
    names = "APP ENV RUN_PORT SKIP_DOTENV RUN_FROM_CLI DATABASE_URL SERVER_NAME MAX_COOKIE_SIZE"
    names += " SECURITY_HEADERS__X JWT_SECRET_KEY CORS_ORIGIN"
    variables = {f"FLASK_{name}": "1" for name in names.split()}
    assert reasons(service(**variables), "W025") == []


@needs("authentication")
def test_routes_that_change_something_and_ask_nobody_are_found() -> None:
    checked = service(API_KEYS={})
    require_scope = part("authentication", "require_scope")
    scoped = require_scope("orders:write")(lambda: "")
    checked.app.add_url_rule("/orders", "orders", scoped, methods=["POST"])
    checked.app.add_url_rule("/switch", "switch", lambda: "", methods=["PUT", "GET"])
    (no_scope,), (scope,) = reasons(checked, "W021"), reasons(checked, "W012")
    assert no_scope.endswith(": PUT /switch")
    assert scope.endswith("anybody may use /orders")


@needs("authentication")
def test_a_public_route_that_changes_something_is_found() -> None:
    checked = service()
    public = part("authentication", "public")
    checked.app.add_url_rule("/open", "open", public(lambda: ""), methods=["POST"])
    assert reasons(checked, "W013") == ["POST /open changes something and is @public"]


@needs("rate_limiting")
def test_routes_without_a_limit_are_found() -> None:
    checked = service()
    exempt = part("rate_limiting", "limiter").exempt
    checked.app.add_url_rule("/open", "open", exempt(lambda: ""), methods=["POST", "GET"])
    assert reasons(checked, "W006") == ["POST /open changes something and has no limit"]
    assert "/open" in " ".join(reasons(checked, "I001"))


@needs("rate_limiting")
def test_a_store_across_the_network_needs_tls_and_a_password() -> None:
    for uri, found in {
        "redis://cache.shop.test:6379": True,
        "redis://:x7Qm2vKp@cache.shop.test:6379": True,
        "rediss://cache.shop.test:6379": True,
        "rediss://:x7Qm2vKp@cache.shop.test:6379": False,
        "redis://localhost:6379": False,
        "redis+unix:///run/redis.sock": False,
    }.items():
        checked = service()
        checked.config["RATELIMIT_STORAGE_URI"] = uri
        assert ("W008" in codes(checked)) is found, uri
        assert "x7Qm2vKp" not in check(checked.app).output


@needs("rate_limiting")
@pytest.mark.parametrize(
    ("code", "uri", "options"),
    [
        ("E011", "rediss://:x7Qm2vKp@cache.shop.test?ssl_cert_reqs=none", {}),
        ("E011", "rediss://:x7Qm2vKp@cache.shop.test", {"ssl_cert_reqs": "none"}),
        ("E011", "rediss://:x7Qm2vKp@cache.shop.test", {"ssl_cert_reqs": None}),
        ("E011", "rediss://:x7Qm2vKp@cache.shop.test", {"ssl_check_hostname": False}),
        ("W051", "rediss://:redis@cache.shop.test", {}),
        ("W051", "rediss://cache.shop.test", {"password": "short"}),
        ("W052", "redis://:x7Qm2vKp@a.shop.test:6379,b.shop.test:6379", {}),
        ("W053", "redis://localhost", {}),
    ],
)
def test_a_store_that_anybody_can_be_or_enter_is_found(
    code: str, uri: str, options: dict[str, Any]
) -> None:
    checked = service()
    checked.config.update(RATELIMIT_STORAGE_URI=uri, RATELIMIT_STORAGE_OPTIONS=options)
    assert code in codes(checked)
    sane = service(RATELIMIT_KEY_PREFIX="shop")
    sane.config["RATELIMIT_STORAGE_URI"] = "rediss://:x7Qm2vKpR4@cache.shop.test:6380/1"
    assert {found for found in codes(sane) if found[0] != "I"} == set()


@needs("rate_limiting", "authentication")
def test_a_tier_that_no_limits_are_configured_for_is_found() -> None:
    golden = {"shop": {"keys": ["ab" * 32], "tier": "gold"}}
    assert "E019" in codes(service(API_KEYS=golden))
    assert "E019" in codes(service(API_KEYS=golden, RATELIMIT_TIERS={"Gold": "9 per hour"}))
    assert "E019" in codes(service(JWT_TIER_CLAIM="tier"))
    tiers = {"RATELIMIT_TIERS": {"gold": "9 per hour"}}
    assert "E019" not in codes(service(API_KEYS=golden, JWT_TIER_CLAIM="tier", **tiers))


@needs("rate_limiting")
def test_more_workers_than_the_limits_know_of_are_found() -> None:
    checked = service(WEB_CONCURRENCY="5")
    checked.config["RATELIMIT_STORAGE_URI"] = "redis://localhost"
    assert "W007" in codes(checked)
    checked.config["RATELIMIT_WORKERS"] = 5
    assert "W007" not in codes(checked)


@needs("authentication")
def test_a_provider_that_anybody_can_be_is_found(tmp_path: Path) -> None:
    jwks = tmp_path / "jwks.json"
    jwks.write_text("{}")
    jwks.chmod(0o666)
    risky: dict[str, dict[str, Any]] = {
        "E013": {"JWT_JWKS": str(jwks)},
        "W036": {"JWT_JWKS": "https://login.shop.test/jwks", "JWT_LEEWAY": 300},
        "W037": {"JWT_JWKS": "https://login.example.com/jwks"},
    }
    for code, settings in risky.items():
        checked = service()
        checked.config.update(settings)
        assert code in codes(checked), code


@pytest.mark.parametrize("name", ["app.py", ".env", ".git/config", "old.sqlite", "site.key"])
def test_a_file_that_is_not_for_visitors_is_found_in_the_static_folder(
    name: str, tmp_path: Path
) -> None:
    checked = service()
    checked.app.static_folder = str(tmp_path)
    (tmp_path / "site.css").touch()
    (tmp_path / ".well-known").mkdir()
    (tmp_path / ".well-known" / "security.txt").touch()
    assert reasons(checked, "E014") == []
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert reasons(checked, "E014") == [f"/static/{name} is served to everybody"]


@needs("authentication")
def test_static_files_that_browsers_cannot_open_are_named(tmp_path: Path) -> None:
    checked = service()
    checked.app.static_folder = str(tmp_path)
    assert reasons(checked, "I007") == []
    (tmp_path / "site.css").touch()
    assert "which browsers do not send" in reasons(checked, "I007")[0]
    part("authentication", "public")(checked.app.view_functions["static"])
    del checked.routes
    assert reasons(checked, "I007") == []


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such modes")
def test_secrets_and_code_that_every_user_may_read_or_change_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = service()
    monkeypatch.chdir(tmp_path)
    checked.app.root_path = str(tmp_path / "app")
    code, env = tmp_path / "app" / "views.py", tmp_path / ".env"
    code.parent.mkdir()
    for path in (code, env):
        path.touch(0o600)
    assert not {"W039", "E017"} & codes(checked)
    env.chmod(0o644)
    code.chmod(0o666)
    assert {"W039", "E017"} <= codes(checked)


@needs("logging")
def test_a_log_that_visitors_can_read_or_users_can_change_is_found(tmp_path: Path) -> None:
    checked = service()
    checked.config["LOG_FILE"] = str(tmp_path / "requests.log")
    assert not {"W041", "E014"} & codes(checked)
    (tmp_path / "requests.log").touch()
    (tmp_path / "requests.log").chmod(0o666)
    assert "W041" in codes(checked)
    checked.app.static_folder = str(tmp_path)
    assert "E014" in codes(checked)


def test_templates_that_are_not_escaped_are_found() -> None:
    checked = service()
    assert "E016" not in codes(checked)
    checked.app.jinja_env.autoescape = False
    assert "E016" in codes(checked)


@needs("metrics")
def test_metrics_that_each_worker_counts_for_itself_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = {"METRICS_TOKEN": GOOD_KEY[::-1]}
    assert reasons(service(**counted), "W054") == []
    assert reasons(service(**counted, GRANIAN_WORKERS="1"), "W054") == []
    assert "W054" in codes(service(**counted, GRANIAN_WORKERS="2"))
    assert reasons(service(GRANIAN_WORKERS="2"), "W054") == []
    monkeypatch.setitem(sys.modules, "gunicorn.arbiter", ModuleType("gunicorn.arbiter"))
    assert "W054" in codes(service(**counted))
    shared = service(**counted)
    assert reasons(Service(shared.app, {"PROMETHEUS_MULTIPROC_DIR": "/run/metrics"}), "W054") == []


@needs("rate_limiting")
def test_the_workers_that_granian_is_told_of_on_its_command_line_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["granian", "--workers", "2", "wsgi:app"])
    assert reasons(service(), "E007") == []  # nobody's server
    monkeypatch.setitem(sys.modules, "granian.server", ModuleType("granian.server"))
    (reason,) = reasons(service(), "E007")
    assert reason.startswith("granian --workers=2: each worker admits the whole limit")
    monkeypatch.setattr(sys, "argv", ["granian", "--workers=1", "--workers-lifetime=60"])
    assert reasons(service(WEB_CONCURRENCY="4"), "E007") == []  # which it does not read


def test_methods_that_send_back_what_a_browser_hides_are_found() -> None:
    checked = service()
    checked.app.add_url_rule("/echo", "echo", lambda: "", methods=["TRACE"])
    assert "W045" in codes(checked)


def test_the_debug_toolbar_is_found_in_production() -> None:
    checked = service()
    checked.app.extensions["debugtoolbar"] = object()
    assert "W044" in codes(checked)


def test_the_development_server_in_production_is_named() -> None:
    checked = service()
    with click.Context(check_command, info_name="run", obj=ScriptInfo()):
        assert "W043" in codes(checked)


@pytest.mark.parametrize("module", SERVERS)
def test_a_server_for_the_world_with_another_configuration_is_named(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, ModuleType(module))
    (reason,) = reasons(service(PRODUCTION=False), "W022")
    assert reason.startswith(f"{SERVERS[module]} serves")
    assert reasons(service(), "W022") == []


@pytest.mark.parametrize("name", PRESENT)
def test_a_line_that_is_missing_in_create_app_is_found(name: str) -> None:
    said = f"app/middleware/{name}.py is not called from create_app()"
    switched_on = {"BLOCKED_USER_AGENTS": "sqlmap", "METRICS_TOKEN": GOOD_KEY}
    assert said not in reasons(service(**switched_on), "W017")
    checked = service(name, **switched_on)
    assert said in reasons(checked, "W017")


def test_an_application_without_any_middleware_can_be_checked() -> None:
    app = Flask("app")
    app.config["PRODUCTION"] = True
    assert {"E001", "W005", "W009", "W010"} <= codes(Service(app, {}))
    assert check(app).exit_code == 1


def test_a_check_of_ones_own_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.checks.finding.PRODUCTION", mine := list[Any]())
    monkeypatch.setattr("app.checks.finding.EVERYWHERE", [])
    finding = Finding("W901", "nothing is backed up", "set BACKUP_URL")
    mine.append(lambda checked: iter(() if checked.config.get("BACKUP_URL") else [finding]))
    assert reasons(service(), "W901") == ["nothing is backed up"]
    assert reasons(service(BACKUP_URL="s3://x"), "W901") == []
    assert in_production(mine[0]) is mine[1]


def test_every_check_runs_once() -> None:
    checks = [*EVERY_START, *EVERYWHERE, *PRODUCTION]
    assert len(set(checks)) == len(checks) > 10


# -- at start --------------------------------------------------------------------------------------

ERRORS = [seed for seed in SEEDED if seed[0][0] == "E"]


@pytest.mark.parametrize(("code", "settings", "middleware"), ERRORS, ids=str)
def test_production_refuses_to_start_on_an_error(
    code: str, settings: dict[str, Any], middleware: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if middleware and middleware not in PRESENT:
        pytest.skip(f"this service has no {middleware}")
    checked = service(**settings)
    for name, value in checked.environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rf"(?s)refuses to start:\n.*{code}: "):
        configure_checks(checked.app)


def test_all_errors_are_said_at_once() -> None:
    app = service(SECRET_KEY="", SESSION_COOKIE_HTTPONLY=False).app
    with pytest.raises(ValueError, match=r"(?s)E001: SECRET_KEY.*secrets.token_hex.*E008: "):
        configure_checks(app)


def test_a_command_is_not_refused_and_the_development_server_is() -> None:
    app = service(SECRET_KEY="").app
    for name in ("check", "api-key", "shell"):
        with click.Context(check_command, info_name=name, obj=ScriptInfo()):
            configure_checks(app)
    with (
        click.Context(check_command, info_name="run", obj=ScriptInfo()),
        pytest.raises(ValueError, match="E001"),
    ):
        configure_checks(app)


def test_warnings_are_logged_in_one_line_at_start(caplog: pytest.LogCaptureFixture) -> None:
    app = service(TRUSTED_HOSTS="", MAX_CONTENT_LENGTH=None).app
    with caplog.at_level(logging.WARNING):
        configure_checks(app)
    (message,) = [m for m in caplog.messages if "flask check" in m]
    assert "W009" in message
    assert "W010" in message


def test_outside_of_production_a_start_looks_only_at_what_no_start_may_hide(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = service(PRODUCTION=False, SECRET_KEY="", FLASK_SECRETKEY="1")
    for name, value in checked.environ.items():
        monkeypatch.setenv(name, value)
    configure_checks(checked.app)
    (message,) = [m for m in caplog.messages if "flask check" in m]
    assert "did you mean FLASK_SECRET_KEY?" in message


@pytest.mark.parametrize("accepted", ["W009,E008", ["W009", "E008"]])
def test_an_accepted_risk_is_not_found_again_and_still_named(accepted: Any) -> None:
    checked = service(TRUSTED_HOSTS="", SESSION_COOKIE_HTTPONLY=False, CHECKS_SILENCED=accepted)
    assert not {"W009", "E008"} & codes(checked)
    configure_checks(checked.app)
    assert "Silenced: W009, E008" in check(checked.app).output


@pytest.mark.parametrize("value", ["TRUSTED_HOSTS", 1, True, {"W002": 1}, [2]])
def test_a_silenced_risk_that_does_not_exist_is_refused(value: Any) -> None:
    app = service(CHECKS_SILENCED=value).app
    with pytest.raises(ValueError, match=r"^CHECKS_SILENCED: .*for example W002"):
        configure_checks(app)


# -- the report ------------------------------------------------------------------------------------


@needs("rate_limiting", "cors", "authentication")
def test_the_report_for_people_names_every_route_and_what_stands_before_it() -> None:
    app = service(TRUSTED_PROXIES=2).app
    lines = check(app).output.splitlines()
    ping = next(line for line in lines if "/api/ping" in line).split()
    assert ping[:4] == ["GET", "/api/ping", "any", "key"]
    assert ping[-1] == "yes"
    assert "per 1 minute" not in " ".join(ping)
    assert {"50 per minute", "200 per hour"} == set(" ".join(ping[4:-2]).split("; "))


@needs("proxy")
def test_the_report_says_whom_the_service_believes() -> None:
    assert "entry 2 from the end of X-Forwarded-For" in check(service(TRUSTED_PROXIES=2).app).output
    assert "X-Forwarded-* is ignored" in check(service().app).output


@needs("rate_limiting", "cors", "authentication")
def test_the_report_for_programs_says_the_same() -> None:
    app = service().app
    app.add_url_rule("/open", "open", part("authentication", "public")(lambda: ""))
    report = json.loads(check(app, "--json").output)
    assert report["production"] is True
    route = next(route for route in report["routes"] if route["endpoint"] == "open")
    assert route == {
        "method": "GET",
        "path": "/open",
        "endpoint": "open",
        "limits": ["50 per minute", "200 per hour"],
        "body_limit": None,
        "cors": False,
        "scopes": None,
        "callers": "public",
    }
    assert {"id", "level", "reason", "remedy"} == set(report["findings"][0])


@needs("validation")
def test_the_report_has_the_limit_of_a_method() -> None:
    class Files(MethodView):
        @part("validation", "body_limit")(5)  # type: ignore[untyped-decorator]
        def put(self) -> str:
            return ""

        def post(self) -> str:
            return ""

    checked = service()
    checked.app.add_url_rule("/files", view_func=Files.as_view("files"))
    limits = {r.method: r.body_limit for r in checked.routes if r.path == "/files"}
    assert limits == {"PUT": 5, "POST": 1024 * 1024}


def test_the_exit_status_is_1_only_on_an_error() -> None:
    assert check(service(TRUSTED_HOSTS="").app).exit_code == 0
    assert check(service(SECRET_KEY="").app).exit_code == 1


def test_no_secret_is_printed() -> None:
    app = service().app
    for output in (check(app).output, check(app, "--json").output):
        assert GOOD_KEY not in output
        assert "abab" not in output
