"""A view sees a body that is whole, within its limit and of a type it expects, or it does not run.

Needs:  pip install "flask>=3.1,<4"
Add:    configure_request_validation(app)

Key                    Default  Meaning (unit)
---------------------  -------  --------------------------------------------------------
TRUSTED_HOSTS          None     host names the service answers to, a leading dot for all
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
Content-Length that is no number or comes with Transfer-Encoding, Transfer-Encoding in HTTP/1.0, a
charset other than UTF-8 for JSON and forms, forms that cannot be read, and JSON with NaN, Infinity,
a name twice in one object, half a surrogate pair or more than 100 levels. JSON answers with NaN or
Infinity raise ValueError. A view, a class of views or one of its methods that takes more, or less,
says so:  @body_limit(20 * 1024 * 1024)  below the route.

A body without a length is 411 where the server would hide that it was cut. Granian does, over
HTTP/1.1 and HTTP/2: there only multipart forms and JSON that ends with a bracket come without one.

Standards: RFC 9110 sections 8.6, 15.5.14 (413), 15.5.16 (415), RFC 9112 section 6, RFC 8259,
           RFC 7493 (I-JSON), OWASP ASVS 5.0 4.1.1, 4.2.1, 5.2.1
Version: 1.0.0
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable
from itertools import chain
from math import isinf
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar

from flask import Flask, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import BadRequest, LengthRequired, RequestEntityTooLarge, SecurityError
from werkzeug.exceptions import UnsupportedMediaType as WerkzeugUnsupportedMediaType
from werkzeug.formparser import FormDataParser

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

JSON_LEVELS = 100  # Python's own limit is near 1,000 and differs between versions
FORM = "application/x-www-form-urlencoded"
FORM_DEFAULTS = {"MAX_FORM_MEMORY_SIZE": 500_000, "MAX_FORM_PARTS": 1_000}  # Flask's
METHODS = ["DELETE", "GET", "LOCK", "MKCOL", "OPTIONS", "PATCH", "POST"]  # that may have a body
METHODS += ["PROPFIND", "PROPPATCH", "PUT", "QUERY", "REPORT", "SEARCH"]
HOST = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
MIMETYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
UNCLOSED = (
    "The body broke off, or is JSON without a bracket at its end: then send it with its length."
)
View = TypeVar("View", bound=Callable[..., Any])


def configure_request_validation(app: Flask) -> None:
    """Refuse hosts, bodies and types that no view expects; off until one of the keys is set.

    :raises ValueError: if a key cannot be read; the message says what to write.
    """
    config = app.config
    config["TRUSTED_HOSTS"] = trusted_hosts(config.get("TRUSTED_HOSTS"))
    for key in ("MAX_CONTENT_LENGTH", *FORM_DEFAULTS):
        config[key] = whole_number(key, config.get(key))
    types = content_types(config.get("REQUEST_CONTENT_TYPES"))
    config["REQUEST_CONTENT_TYPES"] = types
    changed = any(config[key] != default for key, default in FORM_DEFAULTS.items())
    if not (config["TRUSTED_HOSTS"] or config["MAX_CONTENT_LENGTH"] or types or changed):
        return
    app.json = strict_json(app)
    if config["TRUSTED_HOSTS"]:
        holder: Any = app
        while hasattr(holder.wsgi_app, "wsgi_app"):
            holder = holder.wsgi_app
        holder.wsgi_app = LowerCaseHost(holder.wsgi_app)

    @app.before_request
    def check_request() -> None:
        environ = request.environ
        if isinstance(request.routing_exception, SecurityError):
            environ["security_event"] = {"event": "host_refused"}
        request.on_json_loading_failed = json_refused  # type: ignore[assignment,method-assign]
        if has_body(environ):
            view = app.view_functions.get(request.endpoint or "")
            limit = own_limit(view, request.method) if view else None
            check_body(environ, limit, types.get(request.method))


class LowerCaseHost:
    """Host names have no case (RFC 9110 section 4.2.3), for Werkzeug they have."""

    def __init__(self, wsgi_app: WSGIApplication) -> None:
        self.wsgi_app = wsgi_app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if host := environ.get("HTTP_HOST"):
            environ["HTTP_HOST"] = host.lower()
        return self.wsgi_app(environ, start_response)


def check_body(environ: WSGIEnvironment, own_limit: int | None, types: list[str] | None) -> None:
    """Refuse what its headers condemn; the rest is refused while it is read."""
    if own_limit is not None:
        request.max_content_length = own_limit
    limit, declared = request.max_content_length, declared_length(environ)
    if declared is None and not shows_its_end(environ):
        raise LengthRequired("This body could be cut unnoticed; send its length.")
    if declared is not None and limit is not None and declared > limit:
        refuse_too_large(environ, limit)
    check_type(environ, types)
    request.stream = ExactBody(environ, declared, limit)  # type: ignore[assignment]
    request.form_data_parser_class = StrictFormParser


def body_limit(length: int) -> Callable[[View], View]:
    """Give a view its own MAX_CONTENT_LENGTH (bytes). Stands below the route's decorator.

    On a class of views it holds for all its methods, on one of them for that one.
    """
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise ValueError(
            f"body_limit: {length!r} is not a number of bytes; write 1048576 for 1 MiB"
        )

    def mark(view: View) -> View:
        view.body_limit = length  # type: ignore[attr-defined]
        return view

    return mark


def own_limit(view: Callable[..., Any], method: str) -> int | None:
    """What @body_limit says of a view: of its method, of the view or of its class."""
    cls = getattr(view, "view_class", None)
    for marked in (getattr(cls, method.lower(), None), view, cls):
        limit = getattr(marked, "body_limit", None)
        if isinstance(limit, int):
            return limit
    return None


# Lengths


def has_body(environ: WSGIEnvironment) -> bool:
    """Whether a body follows: one of two headers says so, and in HTTP/2 perhaps none."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        return True
    if length := environ.get("CONTENT_LENGTH"):
        return bool(length != "0")
    if not str(environ.get("SERVER_PROTOCOL")).startswith("HTTP/2"):
        return False
    first = receive(environ, environ["wsgi.input"], 1, 0)  # nothing else tells
    environ["wsgi.input"] = PutBack(first, environ["wsgi.input"]) if first else io.BytesIO()
    return bool(first)


class PutBack(io.RawIOBase):
    """A body of which the first byte has been read already."""

    def __init__(self, first: bytes, rest: Any) -> None:
        self.first = first
        self.rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        data, self.first = self.first[:size], self.first[size:]
        data = data or self.rest.read(size)
        buffer[: len(data)] = data
        return len(data)


def declared_length(environ: WSGIEnvironment) -> int | None:
    """Content-Length, or None for a chunked body; two answers to one question are refused.

    HTTP/1.0 has no chunks: servers differ in what they take for the body (RFC 9112 section 6.1).
    """
    length = environ.get("CONTENT_LENGTH") or None
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    is_old = environ.get("SERVER_PROTOCOL") in ("HTTP/1.0", "HTTP/1")
    if coding is not None and (length or is_old or coding.strip().lower() != "chunked"):
        refuse(environ, "framing", "The body must be either chunked or of a declared length.")
    if length is None:
        return None
    if not (length.isascii() and length.isdigit() and len(length) < 19):
        refuse(environ, "length", "Content-Length must be one whole number.")
    return int(length)


def shows_its_end(environ: WSGIEnvironment) -> bool:
    """Whether a body without a length, if cut, is seen to be cut.

    Servers say so by an error, but for Granian 2.8: there JSON ends by its brackets and a
    multipart form by its last boundary, and anything else could have been longer.
    """
    if "wsgi.input_terminated" not in environ:
        return False
    if environ.get("SERVER_SOFTWARE") != "Granian":
        return True
    return request.is_json or request.mimetype == "multipart/form-data"


class ExactBody(io.RawIOBase):
    """A body that ends where it should: early is 400, late is 413, and neither reads as whole."""

    def __init__(self, environ: WSGIEnvironment, declared: int | None, limit: int | None) -> None:
        self.environ = environ
        self.input = environ["wsgi.input"]
        self.declared = declared
        self.limit = limit
        self.position = 0
        self.ends_with = b""
        # See shows_its_end(): what ends by its brackets must end with one.
        is_hidden = declared is None and environ.get("SERVER_SOFTWARE") == "Granian"
        self.must_close = is_hidden and request.is_json

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        if self.declared is not None:
            size = min(size, self.declared - self.position)
        if not size:
            return 0
        data = receive(self.environ, self.input, size, self.position)
        if not data and self.declared is not None:
            reason = f"The body ended after {self.position} of {self.declared} bytes."
            refuse(self.environ, "cut_short", reason)
        self.position += len(data)
        if self.must_close:
            self.ends_with = data.rstrip(b" \t\r\n")[-1:] or self.ends_with
            if not data and self.ends_with not in (b"", b"}", b"]"):
                refuse(self.environ, "broke_off", UNCLOSED)
        if self.limit is not None and self.position > self.limit:
            refuse_too_large(self.environ, self.limit)
        buffer[: len(data)] = data
        return len(data)


def receive(environ: WSGIEnvironment, stream: Any, size: int, position: int) -> bytes:
    try:
        data: bytes = stream.read(size)
    except Exception:  # servers have errors of their own for chunks that are none
        refuse(environ, "broke_off", f"The body broke off after {position} bytes.")
    return data


def refuse(environ: WSGIEnvironment, reason: str, sentence: str) -> NoReturn:
    """A body that does not end as announced belongs in the security log, bad JSON does not."""
    environ["security_event"] = {"event": "body_refused", "reason": reason}
    raise BadRequest(sentence)


def refuse_too_large(environ: WSGIEnvironment, limit: int) -> NoReturn:
    environ["security_event"] = {"event": "body_refused", "reason": "too_large", "limit": limit}
    raise RequestEntityTooLarge(f"The body may have at most {limit} bytes.")


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
    if "charset" in header and (mimetype == FORM or request.is_json):
        charset = request.mimetype_params.get("charset", "utf-8")
        if charset.lower() not in ("utf-8", "utf8", "us-ascii"):
            raise BadRequest("JSON and forms are read as UTF-8; send no other charset.")


class StrictFormParser(FormDataParser):
    """Werkzeug's, with its limits for urlencoded forms too, and 400 instead of an empty form."""

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> Any:
        if mimetype == FORM:
            stream = self.within_limits(stream)
        self.silent = False
        try:
            return super().parse(stream, mimetype, content_length, options)
        except ValueError:
            raise BadRequest(f"The body is not a readable {mimetype} form.") from None

    def within_limits(self, stream: IO[bytes]) -> IO[bytes]:
        limit = self.max_form_memory_size
        body = stream.read() if limit is None else read_up_to(stream, limit + 1)
        if limit is not None and len(body) > limit:
            refuse_too_large(request.environ, limit)
        if self.max_form_parts is not None and body.count(b"&") >= self.max_form_parts:
            request.environ["security_event"] = {"event": "body_refused", "reason": "too_large"}
            raise RequestEntityTooLarge(f"A form may have at most {self.max_form_parts} fields.")
        return io.BytesIO(body)


def read_up_to(stream: IO[bytes], size: int) -> bytes:
    """Raw streams may answer a read with less than is there."""
    parts = []
    while size > 0 and (part := stream.read(min(size, 65536))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


# JSON


def strict_json(app: Flask) -> Any:
    """The application's provider, made strict; one that is not Flask's keeps its own rules."""
    provider = app.json
    if not isinstance(provider, DefaultJSONProvider):
        return provider
    strict = type("StrictJSONProvider", (StrictJSON, type(provider)), {})(app)
    vars(strict).update(vars(provider))
    return strict


class StrictJSON(DefaultJSONProvider):
    """ValueError (Flask answers 400) for what RFC 8259 or I-JSON rule out."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        kwargs.setdefault("allow_nan", False)
        return super().dumps(obj, **kwargs)

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        text = s if isinstance(s, str) else str(s, "utf-8-sig")
        try:
            value = json.loads(text, **kwargs) if kwargs else DECODER.decode(text)
            check_levels(text, value)
            if "\\ud" in text or "\\uD" in text:
                json.dumps(value, ensure_ascii=False).encode()  # half a pair cannot be encoded
        except RecursionError:
            raise ValueError(f"more than {JSON_LEVELS} levels") from None
        return value


def json_refused(error: ValueError | None) -> NoReturn:
    if error is None:
        raise WerkzeugUnsupportedMediaType(
            "The body must be JSON, with Content-Type: application/json."
        )
    if not getattr(error, "doc", "-").strip():
        raise BadRequest("The body is empty; send a JSON document.")
    raise BadRequest(f"The body is not JSON: {error}.")


def check_levels(text: str, value: Any) -> None:
    if text.count("[") + text.count("{") <= JSON_LEVELS:
        return
    level: list[Any] = [value]
    for _ in range(JSON_LEVELS):
        members = [item.values() if type(item) is dict else item for item in level]
        level = [child for child in chain.from_iterable(members) if type(child) in (dict, list)]
        if not level:
            return
    raise ValueError(f"more than {JSON_LEVELS} levels")


def no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError("a number is out of range")
    return number


def unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return members


DECODER = json.JSONDecoder(
    parse_constant=no_constant, parse_float=finite, object_pairs_hook=unique_names
)


# Configuration


def listed(value: object) -> list[object] | None:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else None


def trusted_hosts(value: object) -> list[str] | None:
    if value is None or value == "" or value == []:
        return None
    hosts = listed(value)
    for host in [value] if hosts is None else hosts:
        if not isinstance(host, str) or not HOST.fullmatch(host.lower()):
            raise ValueError(
                f"TRUSTED_HOSTS: {host!r} is not a host name; write api.example.com, or "
                ".example.com for its subdomains too, without scheme, port or path"
            )
    return [str(host).lower() for host in hosts or []]


def whole_number(key: str, value: object) -> int | None:
    if value is None:
        return None
    text = "" if isinstance(value, bool) else str(value).strip()
    if re.fullmatch(r"0*[1-9][0-9]{0,17}", text):
        return int(text)
    raise ValueError(f"{key}: {value!r:.80} is not a whole number above 0; write 1048576 for 1 MiB")


def content_types(value: object) -> dict[str, list[str]]:
    if value is None or value == "":
        return {}
    remedy = 'write {"POST": ["application/json"]}'
    if not isinstance(value, dict):
        raise ValueError(
            f"REQUEST_CONTENT_TYPES: {value!r} does not map methods to types; {remedy}"
        )
    types: dict[str, list[str]] = {}
    for method, entries in value.items():
        accepted = [str(entry).lower() for entry in listed(entries) or []]
        if str(method).upper() not in METHODS:
            raise ValueError(
                f"REQUEST_CONTENT_TYPES: {method!r} is no method with a body; "
                f"write one of {', '.join(METHODS)}"
            )
        if not accepted or not all(map(MIMETYPE.fullmatch, accepted)):
            raise ValueError(f"REQUEST_CONTENT_TYPES: {method!r}: {entries!r} is wrong; {remedy}")
        types[str(method).upper()] = accepted
    return types
