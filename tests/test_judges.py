"""Judges of security headers that nobody here wrote, on the service as production serves it.

They come from the registries, pinned, on the first run: into build/judges, a minute and 150 MB.
After that nothing but the loopback is asked.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.parts import missing, require
from tests.servers import SERVICE, TEMPLATE, gunicorn

FILES = Path(__file__).parent / "judges"
CACHE = TEMPLATE / "build" / "judges"
PATHS = ["/api/ping", "/page", "/session"]
WSGI = """
from app import create_app
from flask import render_template_string, session

app = create_app("production")
PAGE = "<!doctype html><title>a page</title><script nonce=" + "{" * 2 + " csp_nonce() }}></script>"
app.add_url_rule("/page", "page", lambda: render_template_string(PAGE))
app.add_url_rule("/session", "session", lambda: session.update(a=1) or {"a": 1})
"""
# What a judge wants and is not given, with the reason in docs/decisions.md.
DRHEADER_ACCEPTED = {
    ("Cache-Control", "Value does not match security policy"),  # wants max-age=0 beside no-store
    ("Pragma", "Header not included in response"),  # says nothing in an answer: RFC 9111 5.4
}
OWASP_VALIDATOR = {  # oshp-validator's tests_suite.yml, and what it wants of each header
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Frame-Options": "(?i)deny",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "((?!unsafe).)+",
    "X-Permitted-Cross-Domain-Policies": "none",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": re.escape(
        "accelerometer=(), autoplay=(), camera=(), cross-origin-isolated=(), display-capture=(), "
        "encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), keyboard-map=(), "
        "magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), "
        "publickey-credentials-get=(), screen-wake-lock=(), sync-xhr=(self), usb=(), "
        "web-share=(), xr-spatial-tracking=(), clipboard-read=(), clipboard-write=(), "
        "gamepad=(), hid=(), idle-detection=(), interest-cohort=(), serial=(), unload=()"
    ),
    "Cache-Control": "no-store, max-age=0",
    "Feature-Policy": None,
    "Public-Key-Pins": None,
    "Expect-CT": None,
    "X-XSS-Protection": None,
}
OWASP_ACCEPTED = {"Cache-Control", "X-XSS-Protection", "Referrer-Policy"}


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    result = subprocess.run(
        [str(part) for part in command],
        cwd=CACHE,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if result.returncode:
        raise RuntimeError(f"{command[0]} ended with {result.returncode}:\n{result.stderr}")
    return result.stdout


def install() -> None:
    """Install the pinned judges once; npm's scripts, which would download lists, do not run."""
    shutil.rmtree(CACHE, ignore_errors=True)
    shutil.copytree(FILES, CACHE, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    run(require("npm"), "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund")
    preloaded = CACHE / "node_modules/@mdn/mdn-http-observatory/conf/hsts-preload.json"
    preloaded.write_text("{}", encoding="utf-8")  # one of those lists: localhost is not on it
    run(sys.executable, "-m", "venv", "venv")
    run(python(), "-m", "pip", "install", "--quiet", "--requirement", "requirements.txt")


def python() -> Path:
    return CACHE / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"


@pytest.fixture(scope="module")
def judges() -> None:
    require("node")
    names = ["package-lock.json", "requirements.txt", "observatory.mjs", "csp_evaluator.mjs"]
    contents = b"".join((FILES / name).read_bytes() for name in [*names, "drheader_report.py"])
    wanted = hashlib.sha256(contents + sys.version.encode()).hexdigest()
    stamp = CACHE / "installed"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    try:
        install()
    except RuntimeError as error:
        missing(f"the judges could not be installed: {error}")
    stamp.write_text(wanted, encoding="utf-8")


@dataclass
class Site:
    port: int
    ca: Path

    def urls(self, *paths: str) -> list[str]:
        return [f"https://localhost:{self.port}{path}" for path in paths]

    def headers(self, path: str) -> http.client.HTTPMessage:
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection("localhost", self.port, context=context)
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.headers


def make_certificate(folder: Path) -> None:
    """ca.pem, and site.pem and site.key for localhost that it has signed."""
    openssl = require("openssl")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def call(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    call("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA")
    call("req", *new_key, "-keyout", "site.key", "-out", "site.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost", encoding="utf-8")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
    call("x509", "-req", "-in", "site.csr", *signed, "-out", "site.pem")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    make_certificate(folder)
    (folder / "judged_wsgi.py").write_text(WSGI, encoding="utf-8")
    tls = [
        "--worker-class=gthread",
        f"--certfile={folder}/site.pem",
        f"--keyfile={folder}/site.key",
    ]
    env = {"PYTHONPATH": str(folder), "FLASK_LOG_FILE": str(folder / "requests.log")}
    with gunicorn(SERVICE, *tls, target="judged_wsgi:app", env=env) as server:
        yield Site(server.port, folder / "ca.pem")


def test_the_mdn_observatory_gives_at_least_130(judges: None, site: Site) -> None:
    targets = [f"localhost:{site.port}{path}" for path in PATHS]
    output = run(
        require("node"), "observatory.mjs", *targets, env={"NODE_EXTRA_CA_CERTS": str(site.ca)}
    )
    results: dict[str, Any] = json.loads(output)
    assert [results[target]["lost"] for target in targets] == [[], [], []]
    scores = [results[target]["score"] for target in targets]
    assert min(scores) >= 130
    assert scores[PATHS.index("/session")] >= 135  # and more with a session cookie


def test_googles_csp_evaluator_finds_nothing(judges: None, site: Site) -> None:
    policies = [site.headers(path)["Content-Security-Policy"] for path in PATHS]
    assert "script-src 'nonce-" in policies[PATHS.index("/page")]
    assert json.loads(run(require("node"), "csp_evaluator.mjs", *policies)) == [[], [], []]


def test_shcheck_misses_no_header(judges: None, site: Site) -> None:
    for url in site.urls(*PATHS, "/nowhere"):
        command: list[str | Path] = [
            python(),
            "-m",
            "shcheck.shcheck",
            "--json-output",
            "--use-get-method",
            url,
        ]
        output = run(*command, env={"SSL_CERT_FILE": str(site.ca)})
        (result,) = json.loads(output).values()
        assert result["missing"] == []
        assert "Permissions-Policy" in result["present"]


def test_drheader_has_no_issue_but_those_written_down(judges: None, site: Site) -> None:
    urls = site.urls(*PATHS, "/nowhere")
    output = run(python(), "drheader_report.py", *urls, env={"REQUESTS_CA_BUNDLE": str(site.ca)})
    for url, issues in json.loads(output).items():
        assert {(issue["rule"], issue["message"]) for issue in issues} == DRHEADER_ACCEPTED, url


def test_owasps_validator_passes_but_for_what_is_written_down(site: Site) -> None:
    for path in PATHS:
        headers = site.headers(path)
        failed = {
            name
            for name, wanted in OWASP_VALIDATOR.items()
            if (wanted is None and name in headers)
            or (wanted is not None and not re.fullmatch(wanted, headers.get(name, "")))
        }
        assert failed == OWASP_ACCEPTED


def test_the_server_does_not_tell_its_name(site: Site) -> None:
    for path in [*PATHS, "/nowhere"]:
        assert "Server" not in site.headers(path)
        assert "X-Powered-By" not in site.headers(path)
