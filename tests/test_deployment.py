"""What the service brings for its deployment is run: its nginx in front of a real gunicorn."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests.parts import require
from tests.servers import SERVICE, TEMPLATE, free_port, gunicorn, nginx, production_env

PAGE = (TEMPLATE / "docs" / "deployment.md").read_text(encoding="utf-8")
KEYS = json.dumps({"mobile": {"keys": ["ab" * 32]}})


NGINX = (SERVICE / "deploy" / "nginx.conf").read_text(encoding="ascii")
UNIT = (SERVICE / "deploy" / "systemd.service").read_text(encoding="ascii")
COMPOSE = (SERVICE / "compose.yaml").read_text(encoding="ascii")
SETTINGS = (SERVICE / "gunicorn.conf.py").read_text(encoding="ascii")


def status(url: str, **headers: str) -> int:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            code: int = answer.status
            return code
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_no_request_waits_while_what_lives_as_long_as_the_process_is_looked_at() -> None:
    script = "import gc, sys, wsgi; sys.exit(f'{gc.get_freeze_count()} {len(gc.get_objects())}')"
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, cwd=SERVICE, env=production_env(None), capture_output=True)
    frozen, looked_at = map(int, said.stderr.split())
    assert frozen > 20 * looked_at


def test_behind_the_nginx_of_the_docs_clients_are_told_apart_and_cannot_forge_an_address(
    tmp_path: Path,
) -> None:
    port = free_port()
    log = tmp_path / "requests.log"
    env = {
        "FLASK_TRUSTED_PROXIES": "1",
        "FLASK_RATELIMIT_DEFAULT": "5 per minute",
        "FLASK_LOG_FILE": str(log),
    }
    with gunicorn(env=env) as service:
        config = NGINX.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}")
        config = config.replace("listen 80;", f"listen 127.0.0.1:{port};")
        with nginx(config, port, tmp_path):
            url = f"http://127.0.0.1:{port}/api/ping"
            forged = [
                status(url, **{"X-Forwarded-For": f"192.0.2.{n}", "Forwarded": f"for=192.0.2.{n}"})
                for n in range(8)
            ]
            assert forged == [200] * 5 + [429] * 3
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
                assert answer.headers["Server"] == "nginx"  # no version, and not gunicorn's
                assert "Strict-Transport-Security" not in answer.headers
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    served = [line for line in lines if line["message"] == "request_completed"]
    assert [line["remote_addr"] for line in served] == ["127.0.0.1"] * 8  # not /health
    assert "X-Forwarded" not in log.read_text("utf-8")  # nothing warns that headers are ignored


def test_with_the_certificate_of_the_docs_browsers_are_told_to_insist_on_https(
    tmp_path: Path,
) -> None:
    port = free_port()
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=a"]
    subprocess.run(
        [require("openssl"), *options, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    found = re.search(
        r"^#    (listen 443 ssl;)\n#    (ssl_certificate .*)\n#    (ssl_certificate_key .*)$",
        NGINX,
        re.M,
    )
    assert found
    https = "\n".join(found.groups()).replace("listen 443", f"listen 127.0.0.1:{port}")
    https = https.replace("/etc/ssl/service.pem", str(certificate))
    https = https.replace("/etc/ssl/private/service.key", str(key))
    with gunicorn(env={"FLASK_TRUSTED_PROXIES": "1"}) as service:
        config = NGINX.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}")
        with nginx(config.replace("    listen 80;", https), port, tmp_path):
            trusted = ssl.create_default_context(cafile=str(certificate))
            trusted.check_hostname = False

            def asked(method: str, **headers: str) -> http.client.HTTPResponse:
                client = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=trusted)
                with contextlib.closing(client):
                    client.request(method, "/api/ping", headers=headers)
                    answer = client.getresponse()
                    answer.read()
                    return answer

            assert asked("GET").status == 200
            assert "max-age=" in (asked("GET").headers["Strict-Transport-Security"] or "")
            too_large = asked("POST", **{"Content-Length": "2000000"})
            service.stop()
            away = asked("GET")
            assert (too_large.status, away.status) == (413, 502)  # nginx's own, as the docs say
            for answer in (too_large, away):
                assert "X-Request-ID" not in answer.headers


def test_the_systemd_unit_starts_what_the_docs_install() -> None:
    assert "ExecStart=/srv/%p/.venv/bin/gunicorn wsgi:app" in UNIT
    assert "EnvironmentFile=/etc/%p.env" in UNIT and "LogsDirectory=%p" in UNIT
    for line in (
        "cd /srv/flask-service && sudo python3 -m venv .venv",
        "sudo install -m 600 /dev/null /etc/flask-service.env",
        "sudo cp deploy/systemd.service /etc/systemd/system/flask-service.service",
        "`FLASK_SECURITY_LOG_FILE=/var/log/flask-service/security.log`",
    ):
        assert line in PAGE


def test_service_managers_wait_longer_than_the_service_takes_to_stop() -> None:
    stop = re.search(r"^TimeoutStopSec=(\d+)$", UNIT, re.M)
    compose = re.search(r"^    stop_grace_period: (\d+)s", COMPOSE, re.M)
    graceful = re.search(r'whole\("GRACEFUL_TIMEOUT", (\d+),', SETTINGS)
    assert stop and compose and graceful
    assert int(stop[1]) > int(graceful[1]) < int(compose[1])


def test_a_port_that_does_not_exist_ends_the_start_in_one_line() -> None:
    env = production_env(None) | {"PORT": "99999"}
    command = [sys.executable, "-m", "gunicorn", "wsgi:app"]
    ended = subprocess.run(command, cwd=SERVICE, env=env, capture_output=True, text=True)
    assert ended.returncode == 78  # EX_CONFIG: systemd does not start it again
    assert re.fullmatch(r"PORT: '99999' is not .* from 1 to 65535, .*\n", ended.stderr)


def test_the_docs_name_the_defaults_of_gunicorn_conf_py() -> None:
    defaults = dict(re.findall(r'(?:number|whole)\("(\w+)", (\d+),', SETTINGS))
    assert len(defaults) == 5
    for name, value in defaults.items():
        assert f"| `{name}` | {value} |" in PAGE
        assert f"#{name}={value}\n" in (SERVICE / ".env.example").read_text(encoding="ascii")


def test_a_probe_that_names_a_trusted_host_is_answered_and_one_by_address_gets_400() -> None:
    (host,) = set(re.findall(r"httpHeaders: \[\{name: Host, value: (\S+)\}\]", PAGE))
    for keys in ({}, {"FLASK_API_KEYS": KEYS}):
        with gunicorn(env={"FLASK_TRUSTED_HOSTS": host, **keys}) as service:
            for path in ("/health", "/ready"):
                assert status(service.url + path, Host=host) == 200
                assert status(service.url + path) == 400


def test_every_scaled_container_gets_a_port_and_what_env_says() -> None:
    scaling = (TEMPLATE / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert 'ports: ["127.0.0.1:${HOST_PORT-8000}:8000"]' in COMPOSE  # "-": empty is a value too
    assert "env_file: [.env]" in COMPOSE
    assert "    WEB_CONCURRENCY=4\n    FLASK_RATELIMIT_WORKERS=12\n    HOST_PORT=\n" in scaling
