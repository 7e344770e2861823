"""docs/extensions.md: its rows whose packages make test-real installs (the extra company)."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.extensions import COEP, OPEN, OWN, REMOVAL, ROWS, made, spans_of

pytestmark = pytest.mark.real

__all__ = ["made"]
PET = {"name": "Tom"}
CALLERS = {"tests": {"keys": ["7a6d35b6337211be9be9f1bbc5efdf419e4ff02c153c6fb681a1f56110dd4e5f"]}}


def check_openapi(service: Any, document: str, page: str, without: tuple[str, ...] = ()) -> None:
    """Both are served; test_extensions_together.py looks at the page in a browser."""
    described = service.ask(document)
    assert described.status_code == 200
    assert described.json["paths"]
    response = service.ask(page, origin=OWN, without=without)
    assert (response.status_code, response.mimetype) == (200, "text/html")
    policy = response.headers["Content-Security-Policy"]
    assert "script-src" in policy
    assert "'unsafe-inline'" in policy
    assert "'unsafe-inline'" not in service.ask("/nothing").headers["Content-Security-Policy"]


def test_flask_session(made: Any) -> None:
    service = made("Flask-Session")
    cookie = service.ask("/basket", "POST", origin=OWN).headers["Set-Cookie"]
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert cookie.startswith("__Host-session=")
    assert "tea" not in cookie
    assert service.ask("/basket", origin=OWN).json == {"basket": ["tea"]}
    assert any(service.names["sessions"].iterdir())
    service.client.delete_cookie("__Host-session")
    assert service.ask("/basket", origin=OWN).json == {"basket": None}
    service.check_own_errors()


@pytest.mark.filterwarnings("ignore:'get_engine':DeprecationWarning")
def test_flask_migrate(made: Any, tmp_path: Any) -> None:
    service = made("Flask-Migrate", SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/rows.db")
    assert service.ask("/migrated").status_code == 500  # there is no such table yet
    ((line, file),) = REMOVAL.findall(ROWS["Flask-Migrate"])
    folder, env = str(tmp_path / "migrations"), tmp_path / file
    for command in ("init", "migrate", "upgrade"):
        done = service.app.test_cli_runner().invoke(args=["db", command, "-d", folder])
        assert done.exit_code == 0, done.output
        if command == "init":
            assert line in env.read_text(encoding="utf-8")
            env.write_text(env.read_text(encoding="utf-8").replace(line, ""), encoding="utf-8")
    assert service.ask("/migrated").json == {"count": 0}
    service.app.logger.error("said after the upgrade")
    assert b'"said after the upgrade"' in service.log.path.read_bytes()
    service.check_own_errors()
    with service.app.app_context():
        service.names["db"].engine.dispose()


def test_flask_caching(made: Any) -> None:
    service = made("Flask-Caching")
    first, second = service.ask("/cached"), service.ask("/cached")
    assert first.json == second.json == {"calls": 1}
    pages = [service.ask("/cached/page", origin=OWN) for _ in range(2)]
    nonces = [page.text.partition('nonce="')[2].partition('"')[0] for page in pages]
    for page, nonce in zip(pages, nonces, strict=True):
        assert f"'nonce-{nonce}'" in page.headers["Content-Security-Policy"]
    assert nonces[0] != nonces[1]
    assert [page.text.partition("</script>")[2] for page in pages] == ["2", "2"]
    service.check_own_errors()
    limited = made("Flask-Caching", RATELIMIT_DEFAULT="1 per hour")
    assert [limited.ask("/cached").status_code for _ in range(2)] == [200, 429]


def test_flask_compress(made: Any) -> None:
    service = made("Flask-Compress")
    response = service.ask("/big", headers={"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert {"accept-encoding", "origin"} <= {name.lower() for name in response.vary}
    assert json.loads(gzip.decompress(response.data)) == {"big": "tea" * 1000}
    service.check_own_errors()


def test_flask_mail(made: Any) -> None:
    service = made("Flask-Mail")
    with service.names["mail"].record_messages() as sent:
        assert service.ask("/mail", "POST").json == {"sent": True}
    assert [mail.subject for mail in sent] == ["Tea"]
    service.check_own_errors()


def test_flask_babel(made: Any) -> None:
    service = made("Flask-Babel")
    said = service.ask("/translated", headers={"Accept-Language": "de-AT, de;q=0.9"})
    assert said.text == "Der Tee ist aus."
    assert service.ask("/translated").text == "Tea is out."
    service.check_own_errors()


def test_flask_smorest(made: Any) -> None:
    service = made("flask-smorest")
    assert service.ask("/pets/", "POST", json=PET).status_code == 201
    wrong = service.ask("/pets/", "POST", json={})
    assert (wrong.status_code, wrong.mimetype) == (422, "application/problem+json")
    assert "name" in json.loads(wrong.data)["errors"]["json"]
    assert json.loads(service.ask("/pets/missing").data)["detail"] == "No such pet."
    service.ask("/pets/once")
    assert service.ask("/pets/once").headers["Retry-After"]
    check_openapi(service, "/spec/openapi.json", "/spec/ui", without=(COEP,))
    service.check_own_errors()


def test_flask_restx(made: Any) -> None:
    service = made("Flask-RESTX")
    assert service.ask("/restx/pets", "POST", json=PET).status_code == 201
    assert "name" in service.ask("/restx/pets", "POST", json={}).json["errors"]
    assert service.ask("/restx/pets").status_code == 409
    assert service.ask("/restx/pets", "PATCH").status_code == 500
    service.ask("/restx/pets", "PUT")
    assert service.ask("/restx/pets", "PUT").headers["Retry-After"]
    assert service.ask("/restx/pets", "DELETE").headers["Allow"]
    check_openapi(service, "/restx/swagger.json", "/doc/")
    service.check_own_errors()


def test_flasgger(made: Any) -> None:
    service = made("flasgger")
    assert service.ask("/documented").json == {"documented": True}
    check_openapi(service, "/apispec_1.json", "/apidocs/")
    service.check_own_errors()


def test_apiflask(made: Any) -> None:
    service = made("APIFlask")
    assert service.ask("/checked", "POST", json=PET).status_code == 201
    assert service.ask("/checked", "POST", json={}).json["detail"]["json"]["name"]
    assert service.ask("/checked/missing").headers["X-Own"] == "1"
    check_openapi(service, "/openapi.json", "/docs", without=(COEP,))
    service.check_own_errors()


def test_prometheus_flask_exporter(made: Any) -> None:
    service = made("prometheus-flask-exporter", API_KEYS=CALLERS, RATELIMIT_DEFAULT="2 per hour")
    assert service.ask("/api/ping").status_code == 200
    assert service.ask("/an/invented/path").status_code == 401
    for _ in range(3):
        scraped = service.ask("/metrics")
        assert scraped.status_code == 200
    assert 'flask_http_request_total{method="GET",status="200"} 1.0' in scraped.text
    assert 'endpoint="api.ping"' in scraped.text
    assert "invented" not in scraped.text


DOCUMENTS = {
    "flask-smorest": ["/spec/openapi.json", "/spec/ui"],
    "Flask-RESTX": ["/restx/swagger.json", "/doc/", "/swaggerui/swagger-ui.css"],
    "flasgger": ["/apispec_1.json", "/apidocs/", "/flasgger_static/swagger-ui.css"],
    "APIFlask": ["/openapi.json", "/docs"],
}


@pytest.mark.parametrize("package", OPEN)
def test_with_api_keys_the_documentation_is_closed_until_it_is_opened(
    made: Any, package: str
) -> None:
    service = made(package, API_KEYS=CALLERS)
    for path in DOCUMENTS[package]:
        response = service.ask(path)
        assert (response.status_code, response.www_authenticate.type) == (401, "bearer")
    service = made(package, API_KEYS=CALLERS)
    for line in spans_of(OPEN[package]):
        exec(line, service.names)
    for path in DOCUMENTS[package]:
        without = (COEP,) if path in ("/spec/ui", "/docs") else ()
        assert service.ask(path, without=without).status_code == 200
    assert service.ask("/api/orders").status_code == 401
