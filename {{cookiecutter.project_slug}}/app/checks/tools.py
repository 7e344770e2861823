"""What is for one's own machine: debuggers, and switches that take a protection away.

ASVS 5.0 1.2.1 (escaping), 12.3.2 (certificates), 13.4.2 (debug modes), 13.4.4 (TRACE), 16.5.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import click

from app.checks.finding import Finding, in_production
from app.checks.limits import WEAK_PASSWORDS
from app.checks.service import Service, is_local

UNVERIFIED = re.compile(
    r"sslmode=(disable|allow|prefer)|ssl_disabled=true|tls=false|ssl=false|"
    r"tls(allowinvalidcertificates|insecure)=true|ssl_cert_reqs=(none|cert_none)"
)
SWITCHES = {  # environment variables, and what each one does
    "PYTHONHTTPSVERIFY": ("0", "requests to other services take any certificate"),
    "OAUTHLIB_INSECURE_TRANSPORT": ("1", "tokens travel over http"),
    "AUTHLIB_INSECURE_TRANSPORT": ("1", "tokens travel over http"),
    "WERKZEUG_DEBUG_PIN": ("off", "the debugger runs code without asking"),
    "CURL_CA_BUNDLE": ("", "requests to other services take any certificate"),
    "REQUESTS_CA_BUNDLE": ("", "requests to other services take any certificate"),
    "PYTHONDEVMODE": ("1", "what is for developers is shown and logged"),
}
TALKATIVE = {  # settings of Flask and of what people add to it
    "EXPLAIN_TEMPLATE_LOADING": "each template that is looked for is logged",
    "SQLALCHEMY_ECHO": "each query is logged, with the data in it",
    "SQLALCHEMY_RECORD_QUERIES": "each query is kept in memory",
    "MAIL_DEBUG": "each mail is logged, with what it says",
    "DEBUG_TB_ENABLED": "the debug toolbar shows the configuration to visitors",
    "DEBUG_TB_PROFILER_ENABLED": "the debug toolbar shows the configuration to visitors",
}
YES = {"true", "1", "t", "yes", "y", "on"}  # as Granian reads it
TOOLS = {"debugtoolbar", "debug-toolbar", "profiler", "flask-profiler"}  # in app.extensions


@in_production
def debug_and_testing(service: Service) -> Iterator[Finding]:
    config = service.config
    if config["DEBUG"] or service.app.debug:
        reason = "DEBUG is on: the debugger runs any code that a visitor types"
        yield Finding("E004", reason, f"remove {service.place_of('DEBUG')}")
    if config["TESTING"]:
        reason = "TESTING is on: exceptions reach the server instead of the error handlers"
        yield Finding("E005", reason, f"remove {service.place_of('TESTING')}")
    if config["PROPAGATE_EXCEPTIONS"]:
        reason = "PROPAGATE_EXCEPTIONS is on: an exception ends in the server, without a response"
        yield Finding("W001", reason, f"remove {service.place_of('PROPAGATE_EXCEPTIONS')}")
    context = click.get_current_context(silent=True)
    if context and context.info_name == "run":
        reason = "`flask run` is for one's own machine: it is neither safe nor fast"
        yield Finding("W043", reason, "serve with make serve, or another production server")


@in_production
def talkative(service: Service) -> Iterator[Finding]:
    for key, what in TALKATIVE.items():
        if service.config.get(key):
            yield Finding("W044", f"{key} is on: {what}", f"remove {service.place_of(key)}")
    for name in sorted(TOOLS.intersection(service.app.extensions)):
        reason = f"{name} is in use: it shows the inside of the service to visitors"
        yield Finding("W044", reason, "initialise it in development only")


@in_production
def switches(service: Service) -> Iterator[Finding]:
    for name, (dangerous, what) in SWITCHES.items():
        if service.environ.get(name) == dangerous:
            yield Finding("E015", f"{name}={dangerous}: {what}", f"remove {name}")


@in_production
def templates(service: Service) -> Iterator[Finding]:
    escape = service.app.jinja_env.autoescape
    if not (escape("page.html") if callable(escape) else escape):
        reason = "templates are not escaped: what a visitor types becomes a part of the page"
        yield Finding("E016", reason, "remove what sets autoescape of the template environment")


@in_production
def methods(service: Service) -> Iterator[Finding]:
    for route in service.routes:
        if route.method in ("TRACE", "CONNECT", "TRACK"):
            reason = f"{route.method} {route.path} sends back what a browser hides from scripts"
            yield Finding("W045", reason, f"remove {route.method} from the route")


@in_production
def other_services(service: Service) -> Iterator[Finding]:
    """The databases, brokers and mail servers that the configuration names by URL."""
    for key, value in service.config.items():
        if not isinstance(value, str) or "://" not in value or key.startswith("RATELIMIT_"):
            continue
        try:
            parts = urlsplit(value)
            password, host = unquote(parts.password or ""), parts.hostname or ""
        except ValueError:
            continue
        if password and password.lower() in WEAK_PASSWORDS | {(parts.username or "").lower()}:
            yield Finding("W046", f"{key}: the password can be guessed", "make another password")
        if UNVERIFIED.search(parts.query.lower()) and not is_local(host):
            reason = f"{key}: what {host} sends and receives can be read or changed on the way"
            yield Finding("W047", reason, "let TLS be required and verified: sslmode=verify-full")


@in_production
def mail(service: Service) -> Iterator[Finding]:
    config = service.config
    host = str(config.get("MAIL_SERVER") or "localhost")
    is_encrypted = config.get("MAIL_USE_TLS") or config.get("MAIL_USE_SSL")
    if config.get("MAIL_PASSWORD") and not is_encrypted and not is_local(host):
        reason = f"MAIL_PASSWORD travels to {host} in the clear"
        yield Finding("W047", reason, "set FLASK_MAIL_USE_TLS=true")


@in_production
def server_arguments(service: Service) -> Iterator[Finding]:
    arguments = service.environ.get("GUNICORN_CMD_ARGS", "")
    granian_reloads = service.environ.get("GRANIAN_RELOAD", "").lower() in YES
    if granian_reloads or re.search(r"--reload(?![\w-])", arguments):
        reason = "the server starts again whenever a file changes"
        yield Finding("W044", reason, "remove --reload from GUNICORN_CMD_ARGS, or GRANIAN_RELOAD")
    if re.search(r"--forwarded-allow-ips[= ]\S*\*", arguments):
        reason = (
            "GUNICORN_CMD_ARGS: --forwarded-allow-ips=* lets every client say that it uses https"
        )
        yield Finding("W049", reason, "remove it, and set FLASK_TRUSTED_PROXIES")
