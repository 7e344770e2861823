"""A view sees a body that is whole, within its limit and of a type it expects, or it does not run.

Needs:  pip install "flask>=3.1,<4"
Copy:   engine/ (bodies, exchange, forms, header_lists, kept_headers, marks, pipeline, settings,
        strict_json)
Add:    configure_request_validation(app)

Key                    Default  Meaning (unit)
---------------------  -------  --------------------------------------------------------
TRUSTED_HOSTS          None     host names the service responds to, a leading dot for all
                                subdomains: ["api.example.com", ".example.org"], or
                                comma-separated text; another Host: 400
MAX_CONTENT_LENGTH     None     longest body (bytes), declared or chunked; over it: 413
MAX_FORM_MEMORY_SIZE   500000   longest field of a multipart form, and longest urlencoded
                                form (bytes); over it: 413
MAX_FORM_PARTS         1000     fields of a form, multipart or urlencoded; over it: 413
REQUEST_CONTENT_TYPES  None     what a body may be, by method:
                                {"POST": ["application/json"]}; another, or none: 415
                                with Accept (Accept-Post, Accept-Patch); no body: passes

Nothing happens until one of these is set. Then also 400: a body shorter than declared, a
Content-Length that is not a number or comes with Transfer-Encoding, Transfer-Encoding in HTTP/1.0,
HTTP/1.1 without a Host, a Host with xn-- that is not a name, a charset other than UTF-8 for JSON
and forms, forms that cannot be read, and JSON with NaN, Infinity, a name twice in one object, half
a surrogate pair or more than 100 levels. JSON responses with NaN or Infinity raise ValueError. A
view, a class of views or one of its methods that takes more, or less, says so:
@body_limit(20 * 1024 * 1024)  below the route; or sets request.max_content_length to less before it
reads the body.

A body without a length is 411 where the server would hide that it was cut. Granian does, over
HTTP/1.1 and HTTP/2: there only multipart forms and JSON that ends with a bracket come without one.

Standards: RFC 9110 sections 8.6, 15.5.14 (413), 15.5.16 (415), RFC 9112 sections 3.2, 6,
           RFC 8259, RFC 7493 (I-JSON), OWASP ASVS 5.0 2.2.1, 4.2.1, 5.2.1
Version: 2.0.0
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import Blueprint, Flask, Request, request
from werkzeug.exceptions import BadRequest, SecurityError
from werkzeug.exceptions import UnsupportedMediaType as WerkzeugUnsupportedMediaType

from .engine.bodies import expect_exact_body, has_body
from .engine.forms import URLENCODED, StrictFormParser
from .engine.kept_headers import keep_headers
from .engine.marks import handler_of, mark
from .engine.pipeline import pipeline_of
from .engine.settings import Config, as_items, read_list, read_mapping, read_whole_number, refuse
from .engine.strict_json import make_json_strict, refuse_json

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

FORM_DEFAULTS = {"MAX_FORM_MEMORY_SIZE": 500_000, "MAX_FORM_PARTS": 1_000}  # Flask's
METHODS = ["DELETE", "GET", "LOCK", "MKCOL", "OPTIONS", "PATCH", "POST"]  # that may have a body
METHODS += ["PROPFIND", "PROPPATCH", "PUT", "QUERY", "REPORT", "SEARCH"]
HOST = re.compile(r"\.?[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*")  # Werkzeug refuses any _
MIMETYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
View = TypeVar("View", bound=Callable[..., Any])


def configure_request_validation(app: Flask) -> None:
    """Refuse hosts, bodies and types that no view expects; off until one of the keys is set.

    :raises ValueError: if a key cannot be read; the message says what to write.
    """
    config = app.config
    hosts = config["TRUSTED_HOSTS"] = _read_hosts(config, "TRUSTED_HOSTS")
    config["MAX_CONTENT_LENGTH"] = _read_size(config, "MAX_CONTENT_LENGTH", 0) or None
    for key, default in FORM_DEFAULTS.items():
        config[key] = _read_size(config, key, default)
    types = config["REQUEST_CONTENT_TYPES"] = _read_types(config, "REQUEST_CONTENT_TYPES")
    is_changed = any(config[key] != default for key, default in FORM_DEFAULTS.items())
    if not (hosts or config["MAX_CONTENT_LENGTH"] or types or is_changed):
        return
    make_json_strict(app)
    keep_headers(app)  # Accept, whoever renders a 415
    if hosts:
        pipeline_of(app).on_begin(lower_case_host)  # when a proxy's Host has been put in place

    @app.before_request
    def check_request() -> None:
        asked = request._get_current_object()  # type: ignore[attr-defined]
        environ = asked.environ
        if isinstance(asked.routing_exception, SecurityError):
            environ["security_event"] = {"event": "host_refused"}
        check_host(asked)
        asked.on_json_loading_failed = refuse_json
        if not has_body(environ):
            return
        view = app.view_functions.get(asked.endpoint or "")
        if view and (limit := own_limit(view, asked.method)):
            asked.max_content_length = limit
        expect_exact_body(asked, asked.max_content_length)
        check_type(environ, types.get(asked.method))
        asked.form_data_parser_class = StrictFormParser


def lower_case_host(environ: WSGIEnvironment) -> None:
    """Host names have no case (RFC 9110 section 4.2.3), for Werkzeug they have."""
    if host := environ.get("HTTP_HOST"):
        environ["HTTP_HOST"] = host.lower()


def check_host(asked: Request) -> None:
    """HTTP/1.1 has a Host (RFC 9112 section 3.2), and Werkzeug has to read it for request.url."""
    host = asked.environ.get("HTTP_HOST")
    if host is None and asked.environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
        raise BadRequest("The request has no Host.")
    if host and "xn--" in host.lower():
        try:
            asked.url  # noqa: B018
        except UnicodeError:
            raise BadRequest("The Host is not a name.") from None


# Lengths


def body_limit(length: int) -> Callable[[View], View]:
    """Give a view its own MAX_CONTENT_LENGTH (bytes). Stands below the route's decorator.

    On a class of views it holds for all its methods, on one of them for that one.

    :raises ValueError: if the length is not a whole number of at least 1, or for a blueprint.
    """
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        refuse("body_limit", length, "is not a number of bytes", "1048576 for 1 MiB")

    def limit(view: View) -> View:
        if isinstance(view, Blueprint):
            refuse("body_limit", view.name, "is a blueprint", f"@body_limit({length}) on its views")
        return cast(View, mark(view, "body_limit", length))

    return limit


def own_limit(view: Callable[..., Any], method: str) -> int | None:
    """What @body_limit says of a view: of its method, of the view or of its class."""
    cls = getattr(view, "view_class", None)
    for marked in (handler_of(cls, method), view, cls):
        limit = getattr(marked, "body_limit", None)
        if isinstance(limit, int):
            return limit
    return None


# Types


class UnsupportedMediaType(WerkzeugUnsupportedMediaType):
    """415 that says what would be accepted (RFC 9110 section 15.5.16)."""

    def __init__(self, method: str, accepted: list[str]) -> None:
        super().__init__(f"The body of a {method} request must be {' or '.join(accepted)}.")
        self.names = ["Accept"] + [f"Accept-{method.title()}"] * (method in ("POST", "PATCH"))
        self.accepted = ", ".join(accepted)

    def get_headers(self, environ: Any = None, scope: Any = None) -> list[tuple[str, str]]:
        headers = super().get_headers(environ, scope)
        return [*headers, *((name, self.accepted) for name in self.names)]


def check_type(environ: WSGIEnvironment, accepted: list[str] | None) -> None:
    header = environ.get("CONTENT_TYPE", "").lower()
    mimetype = header.partition(";")[0].strip()
    if accepted is not None and mimetype not in accepted:
        raise UnsupportedMediaType(environ["REQUEST_METHOD"], accepted)
    if "charset" in header and (mimetype == URLENCODED or request.is_json):
        charset = request.mimetype_params.get("charset", "utf-8")
        if charset.lower() not in ("utf-8", "utf8", "us-ascii"):
            raise BadRequest("JSON and forms are read as UTF-8; send no other charset.")


# Configuration


def _read_hosts(config: Config, key: str) -> list[str] | None:
    example = "api.example.com, or .example.com for its subdomains too"
    hosts = [host.lower() for host in read_list(config, key, example=example)]
    for host in hosts:
        if not HOST.fullmatch(host):
            problem = "is not a host name of letters, digits, - and dots, without scheme or port"
            refuse(key, host, problem, example)
    return hosts or None


def _read_size(config: Config, key: str, default: int) -> int | None:
    """None is Flask's word for no limit."""
    if config.get(key) is None:
        return None
    return read_whole_number(config, key, default, example=1048576)


def _read_types(config: Config, key: str) -> dict[str, list[str]]:
    example = '{"POST": ["application/json"]}'
    types: dict[str, list[str]] = {}
    for method, entries in read_mapping(config, key, example).items():
        accepted = [str(entry).strip().lower() for entry in as_items(entries) or []]
        if method.upper() not in METHODS:
            refuse(key, method, "is not a method with a body", ", ".join(METHODS))
        if not accepted or not all(map(MIMETYPE.fullmatch, accepted)):
            refuse(key, entries, f"is not a list of types for {method}", example)
        types[method.upper()] = accepted
    return types
