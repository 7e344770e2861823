from __future__ import annotations

import json
import logging
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from flask import Flask
from flask.cli import ScriptInfo
from flask.views import MethodView

from app import create_app
from app.checks import (
    EVERYWHERE,
    IN_PRODUCTION,
    SERVERS,
    Service,
    check_command,
    configure_checks,
    findings,
    misspelt_names,
)
from app.config import config_by_name
from app.middleware.authentication import public
from app.middleware.validation import body_limit

GOOD_KEY = "3b1f0c5de2a94786b1f5a0c39d2e7164"
KEYS = json.dumps({"mobile": {"keys": ["ab" * 32], "scopes": ["orders:read"]}})
SAFE = {
    "SECRET_KEY": GOOD_KEY,
    "CORS_ORIGINS": "https://app.shop.test",
    "RATELIMIT_DEFAULT": "200 per hour;50 per minute",
    "TRUSTED_PROXIES": "0",
    "TRUSTED_HOSTS": "api.shop.test",
    "API_KEYS": KEYS,
}
SEEDED = [
    ("E001", {"SECRET_KEY": ""}),
    ("E002", {"SECRET_KEY": "short"}),
    ("E002", {"SECRET_KEY": "1" + "0123456789" * 4}),
    ("E003", {"SECRET_KEY": "change-me-" + GOOD_KEY}),
    ("E003", {"SECRET_KEY": "x" * 40}),
    ("E003", {"SECRET_KEY": config_by_name["development"].SECRET_KEY}),  # type: ignore[attr-defined]
    ("E002", {"SECRET_KEY": '["3b1f0c5de2a94786b1f5a0c39d2e7164"]'}),
    ("E002", {"SECRET_KEY_FALLBACKS": '["old"]'}),
    ("E002", {"SECRET_KEY_FALLBACKS": "an older key, as text and not in a list"}),
    ("E004", {"DEBUG": "1"}),
    ("E005", {"TESTING": "true"}),
    ("E006", {"CORS_ORIGINS": "https://app.shop.test,http://app.shop.test"}),
    ("E007", {"WEB_CONCURRENCY": "4"}),
    ("E007", {"GRANIAN_WORKERS": "2"}),
    ("E008", {"SESSION_COOKIE_NAME": "sid", "SESSION_COOKIE_HTTPONLY": "false"}),
    ("W001", {"PROPAGATE_EXCEPTIONS": "true"}),
    ("W002", {"CORS_ORIGINS": "http://localhost:3000"}),
    ("W002", {"CORS_ORIGINS": "https://[::1]:3000"}),
    ("W003", {"CORS_ORIGINS": "https://app.example.com"}),
    ("W004", {"CORS_ORIGINS": "https://*.shop.test"}),
    ("W005", {"RATELIMIT_ENABLED": "false"}),
    ("W009", {"TRUSTED_HOSTS": ""}),
    ("W010", {"MAX_CONTENT_LENGTH": "null"}),
    ("W011", {"SESSION_COOKIE_NAME": "sid"}),
    ("W012", {"API_KEYS": "{}"}),
    ("W014", {"LOG_FORMAT": "text"}),
    ("W015", {"SECURITY_HEADERS": '{"Strict-Transport-Security": null}'}),
    ("W015", {"SECURITY_HEADERS": '{"strict-transport-security": "max-age=60"}'}),
    ("W016", {"SECURITY_CSP_PAGE": "default-src 'self'; script-src 'unsafe-inline'"}),
    ("W016", {"SECURITY_CSP_PAGE": ""}),
    ("W016", {"SECURITY_CSP_API": "img-src 'self'; frame-ancestors 'none'"}),
    ("W016", {"SECURITY_CSP_PAGE": "script-src https:"}),
    ("W016", {"SECURITY_CSP_PAGE": "default-src 'self' *"}),
    ("W016", {"SECURITY_CSP_PAGE": "default-src 'self'; script-src data: 'self'"}),
    ("W016", {"SECURITY_CSP_PAGE": "script-src 'self'; script-src-elem https://*"}),
    ("W016", {"SECURITY_CSP_PAGE": "script-src 'self' http://cdn.shop.test"}),
    ("W018", {"SESSION_COOKIE_NAME": "sid"}),
    ("W019", {"API_KEY_FAILURES": "1001 per minute"}),
    ("W019", {"API_KEY_FAILURES": "17/second"}),
    ("W020", {"TRUSTED_HOSTS": ".com"}),
    ("W020", {"TRUSTED_HOSTS": "api.shop.test,.co.uk"}),
    ("W020", {"TRUSTED_HOSTS": "api"}),
    ("W022", {"PRODUCTION": "false"}),
    ("W023", {"LOG_LEVEL": "debug"}),
    ("W024", {"SECURITY_HEADERS": '{"x-content-type-options": null}'}),
    ("W024", {"SECURITY_HEADERS": '{"X-Frame-Options": ""}'}),
    ("W024", {"SECURITY_HEADERS": '{"Cache-Control": null}'}),
    ("W024", {"SECURITY_HEADERS": '{"Cache-Control": "public, max-age=60"}'}),
    ("W024", {"SECURITY_HEADERS": '{"Referrer-Policy": "unsafe-url"}'}),
    ("I001", {}),
    ("I002", {}),
    ("I003", {}),
    ("I004", {"TRUSTED_PROXIES": "1"}),
]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set FLASK_<KEY> for each key, or the variable itself where a server reads it."""

    def put(**values: str) -> None:
        for name, value in values.items():
            is_server = name in ("WEB_CONCURRENCY", "GRANIAN_WORKERS")
            monkeypatch.setenv(name if is_server else f"FLASK_{name}", value)

    for name in list(os.environ):
        if name.startswith("FLASK_") or name in ("WEB_CONCURRENCY", "GRANIAN_WORKERS"):
            monkeypatch.delenv(name)
    return put


def production_app() -> Flask:
    """As a command loads it: without being refused."""
    with click.Context(check_command, info_name="check", obj=ScriptInfo()):
        return create_app("production")


def codes(app: Flask) -> set[str]:
    return {finding.code for finding in findings(Service(app))}


def check(app: Flask, *options: str) -> Any:
    return app.test_cli_runner().invoke(args=["check", *options])


def test_a_new_service_in_development_has_no_finding() -> None:
    app = create_app("development")
    assert codes(app) == set()
    result = check(app)
    assert result.exit_code == 0
    assert "No risk found." in result.output


def test_a_configured_service_in_production_has_no_error_and_no_warning(environment: Any) -> None:
    environment(**SAFE)
    assert {code for code in codes(create_app("production")) if code[0] != "I"} == set()


@pytest.mark.parametrize(
    "values",
    [
        {"API_KEY_FAILURES": "1000 per minute"},
        {"API_KEY_FAILURES": "90000 per day"},
        {"TRUSTED_HOSTS": "api.shop.test,.shop.test,shop.co.uk,10.0.0.1,localhost"},
        {"SECURITY_CSP_PAGE": "default-src 'none'; script-src 'nonce' 'self'; img-src * data:"},
        {"SECURITY_CSP_PAGE": "script-src 'nonce' 'strict-dynamic' https: 'unsafe-inline'"},
        {"SECURITY_CSP_PAGE": "script-src 'self' https://cdn.shop.test"},
        {"SECURITY_HEADERS": '{"X-Frame-Options": "SAMEORIGIN", "X-Service": "shop"}'},
        {"SECURITY_HEADERS": '{"Cache-Control": "no-cache", "Permissions-Policy": null}'},
        {"LOG_LEVEL": "ERROR"},
    ],
    ids=str,
)
def test_what_is_no_risk_is_not_called_one(values: dict[str, str], environment: Any) -> None:
    environment(**{**SAFE, **values})
    assert {code for code in codes(production_app()) if code[0] != "I"} == set()


def test_a_key_that_the_production_configuration_brings_itself_is_no_published_one(
    environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(**{key: value for key, value in SAFE.items() if key != "SECRET_KEY"})
    monkeypatch.setattr(config_by_name["production"], "SECRET_KEY", GOOD_KEY)
    assert {code for code in codes(create_app("production")) if code[0] == "E"} == set()


def test_a_key_of_another_type_is_said_to_be_one(environment: Any) -> None:
    environment(**SAFE)
    app = production_app()
    app.config["SECRET_KEY"] = [GOOD_KEY]
    (reason,) = (f.reason for f in findings(Service(app)) if f.code == "E002")
    assert reason == "SECRET_KEY is read as a list, not as text"


def test_a_key_of_digits_only_is_said_to_be_a_number(environment: Any) -> None:
    environment(**{**SAFE, "SECRET_KEY": "1" + "0123456789" * 4})
    with pytest.raises(ValueError, match="E002: SECRET_KEY is read as a number; add a letter"):
        create_app("production")


@pytest.mark.parametrize("name", ["production", "development", "testing"])
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
def test_a_variable_that_is_nearly_one_of_ours_is_found_in_every_mode(
    name: str, written: str, meant: str, environment: Any, caplog: pytest.LogCaptureFixture
) -> None:
    environment(**SAFE, **{written: "1"})
    app = create_app(name)
    said = f"FLASK_{written.partition('__')[0]} is not known; did you mean FLASK_{meant}?"
    assert f"W025: {said}" in check(app).output
    assert f"W025 {said}" in caplog.text


def test_variables_of_flask_and_of_ones_own_are_not_called_misspelt(
    environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(APP="app", ENV="development", RUN_PORT="5001", SKIP_DOTENV="1", RUN_FROM_CLI="1")
    environment(DATABASE_URL="sqlite://", SERVER_NAME="localhost", MAX_COOKIE_SIZE="4000")
    environment(SECURITY_HEADERS__X="a header more", JWT_SECRET_KEY="another package's")
    monkeypatch.setattr(config_by_name["development"], "CORS_ORIGIN", "", raising=False)
    environment(CORS_ORIGIN="a key of one's own, named in app/config.py")
    assert codes(create_app("development")) == set()


def test_every_name_of_env_example_is_known(environment: Any) -> None:
    example = Path(__file__).parents[1] / ".env.example"
    names = set(re.findall(r"FLASK_[A-Z_]+(?==)", example.read_text("utf-8")))
    assert len(names) > 30
    service = Service(create_app("development"), dict.fromkeys(names, ""))
    assert list(misspelt_names(service)) == []


def test_the_remedy_for_refusals_among_other_lines_works_in_a_container(environment: Any) -> None:
    environment(**SAFE)
    (remedy,) = (f.remedy for f in findings(Service(production_app())) if f.code == "I002")
    value = remedy.partition("=")[2].partition(" ")[0]
    assert value == "-"  # no file: the image has no folder for one
    environment(SECURITY_LOG_FILE=value)
    assert "I002" not in codes(production_app())


def test_old_keys_as_text_are_one_finding_and_not_one_for_each_character(
    environment: Any,
) -> None:
    environment(**SAFE, SECRET_KEY_FALLBACKS=GOOD_KEY + "x")
    (error,) = (f for f in findings(Service(production_app())) if f.level == "error")
    assert error.reason == "SECRET_KEY_FALLBACKS is not a list of keys"


def test_routes_that_change_something_and_ask_nobody_are_found(environment: Any) -> None:
    environment(**SAFE)
    app = production_app()
    app.add_url_rule("/switch", view_func=lambda: "", methods=["PUT", "GET"], endpoint="switch")
    service = Service(app)
    assert "W021" not in codes(app)
    del app.extensions["authentication"]
    (reason,) = (f.reason for f in findings(service) if f.code == "W021")
    assert reason.endswith(": PUT /switch")  # those with a scope are in W012


@pytest.mark.parametrize("module", SERVERS)
def test_a_server_for_the_world_with_another_configuration_is_named_at_start(
    module: str,
    environment: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, module, ModuleType(module))
    for name in ("development", "testing"):
        caplog.clear()
        app = create_app(name)
        assert codes(app) == {"W022"}
        (record,) = [r for r in caplog.records if "flask check" in r.getMessage()]
        assert f"{SERVERS[module]} serves" in record.getMessage()
    environment(**SAFE)
    assert "W022" not in codes(create_app("production"))


@pytest.mark.parametrize(("code", "values"), SEEDED, ids=lambda seed: str(seed)[:40])
def test_a_risk_is_found_and_said_with_a_remedy(
    code: str, values: dict[str, str], environment: Any
) -> None:
    environment(**{**SAFE, **values})
    app = production_app()
    result = check(app)
    assert code in codes(app)
    assert f" {code}: " in result.output
    assert result.exit_code == (1 if any(c[0] == "E" for c in codes(app)) else 0)


@pytest.mark.parametrize("seed", [s for s in SEEDED if s[0][0] == "E"], ids=str)
def test_production_refuses_to_start_on_an_error(seed: Any, environment: Any) -> None:
    code, values = seed
    environment(**{**SAFE, **values})
    with pytest.raises(ValueError, match=rf"(?s)refuses to start:\n.*{code}: "):
        create_app("production")


def test_all_errors_are_said_at_once(environment: Any) -> None:
    environment(**{**SAFE, "SECRET_KEY": "", "CORS_ORIGINS": "http://shop.test"})
    with pytest.raises(ValueError, match=r"(?s)E001: SECRET_KEY.*secrets.token_hex.*E006: "):
        create_app("production")


def test_warnings_are_logged_in_one_line_at_start(
    environment: Any, caplog: pytest.LogCaptureFixture
) -> None:
    environment(**{**SAFE, "TRUSTED_HOSTS": "", "API_KEYS": "{}"})
    with caplog.at_level(logging.WARNING):
        create_app("production")
    (record,) = [r for r in caplog.records if "flask check" in r.getMessage()]
    assert "W009" in record.getMessage()
    assert "W012" in record.getMessage()


@pytest.mark.parametrize("silenced", ["W009,E006", '["W009", "E006"]'])
def test_an_accepted_risk_is_not_found_again_and_still_named(
    silenced: str, environment: Any
) -> None:
    risky = {"TRUSTED_HOSTS": "", "CORS_ORIGINS": "http://shop.test", "CHECKS_SILENCED": silenced}
    environment(**{**SAFE, **risky})
    app = create_app("production")
    assert not {"W009", "E006"} & codes(app)
    assert "Silenced: W009, E006" in check(app).output


@pytest.mark.parametrize("value", ["TRUSTED_HOSTS", "1", "true", '{"W002": 1}', "[2]"])
def test_a_silenced_risk_that_does_not_exist_is_refused(value: str, environment: Any) -> None:
    environment(**SAFE, CHECKS_SILENCED=value)
    with pytest.raises(ValueError, match=r"^CHECKS_SILENCED: .*write W002"):
        create_app("production")


def test_a_route_that_changes_something_needs_a_limit_and_a_key(environment: Any) -> None:
    environment(**SAFE)
    app = production_app()
    exempt: Any = app.extensions["rate_limiting"].exempt

    @app.post("/open")
    @exempt  # type: ignore[untyped-decorator,unused-ignore]
    @public
    def open_to_all() -> str:
        return ""

    found = {f.code: f.reason for f in findings(Service(app))}
    assert "POST /open" in found["W006"]
    assert "POST /open" in found["W013"]


def test_the_report_has_the_limit_of_a_method(environment: Any) -> None:
    class Files(MethodView):
        @body_limit(5)
        def put(self) -> str:
            return ""

        def post(self) -> str:
            return ""

    environment(**SAFE)
    app = production_app()
    app.add_url_rule("/files", view_func=Files.as_view("files"))
    limits = {r.method: r.body_limit for r in Service(app).routes if r.path == "/files"}
    assert limits == {"PUT": 5, "POST": 1024 * 1024}


def test_a_store_across_the_network_needs_tls_and_a_password(environment: Any) -> None:
    environment(**SAFE)
    app = production_app()
    for uri, found in {
        "redis://cache.shop.test:6379": True,
        "redis://:secret@cache.shop.test:6379": True,
        "rediss://cache.shop.test:6379": True,
        "rediss://:secret@cache.shop.test:6379": False,
        "redis://localhost:6379": False,
        "redis+unix:///run/redis.sock": False,
    }.items():
        app.config["RATELIMIT_STORAGE_URI"] = uri
        assert ("W008" in codes(app)) is found, uri
        assert "secret" not in check(app).output


def test_more_workers_than_the_limits_know_of_are_found(environment: Any) -> None:
    environment(**SAFE, WEB_CONCURRENCY="5")
    app = production_app()
    app.config["RATELIMIT_STORAGE_URI"] = "redis://localhost"
    assert "W007" in codes(app)
    app.config["RATELIMIT_WORKERS"] = 5
    assert "W007" not in codes(app)


@pytest.mark.parametrize(
    "name",
    [
        "proxy",
        "logging",
        "cors",
        "rate_limiting",
        "security",
        "authentication",
        "user_agents",
        "validation",
    ],
)
def test_a_line_that_is_missing_in_create_app_is_found(name: str, environment: Any) -> None:
    environment(**SAFE, BLOCKED_USER_AGENTS="sqlmap")
    service = Service(production_app())
    assert name in service.configured
    service.configured.discard(name)
    assert f"app/middleware/{name}.py" in " ".join(f.reason for f in findings(service))


def test_an_application_without_any_middleware_can_be_checked() -> None:
    app = Flask("app")
    app.config["PRODUCTION"] = True
    with click.Context(check_command, info_name="check", obj=ScriptInfo()):
        configure_checks(app)
    assert {"E001", "W005", "W009", "W010"} <= codes(app)
    assert check(app).exit_code == 1


def test_the_report_for_people_names_every_route_and_what_stands_before_it(
    environment: Any,
) -> None:
    environment(**{**SAFE, "TRUSTED_PROXIES": "2"})
    lines = check(create_app("production")).output.splitlines()
    ping = next(line.split() for line in lines if "/api/ping" in line)
    assert ping[:3] == ["GET", "/api/ping", "public"]
    assert ping[-1] == "yes"
    assert "50 per minute; 200 per hour" in " ".join(ping)
    assert any("entry 2 from the end of X-Forwarded-For" in line for line in lines)


def test_the_report_for_programs_says_the_same(environment: Any) -> None:
    environment(**SAFE)
    report = json.loads(check(create_app("production"), "--json").output)
    assert report["production"] is True
    ping = next(route for route in report["routes"] if route["endpoint"] == "api.ping")
    assert ping == {
        "method": "GET",
        "path": "/api/ping",
        "endpoint": "api.ping",
        "limits": ["50 per minute", "200 per hour"],
        "body_limit": None,
        "cors": True,
        "scopes": None,
        "callers": "public",
    }
    assert {"id", "level", "reason", "remedy"} == set(report["findings"][0])
    assert [f["id"] for f in report["findings"]] == ["I001", "I002", "I003"]


def test_no_secret_is_printed(environment: Any) -> None:
    environment(**SAFE)
    app = create_app("production")
    for output in (check(app).output, check(app, "--json").output):
        assert GOOD_KEY not in output
        assert "abab" not in output


def test_every_check_is_in_exactly_one_list() -> None:
    assert len(set(EVERYWHERE) | set(IN_PRODUCTION)) == len(EVERYWHERE) + len(IN_PRODUCTION)
