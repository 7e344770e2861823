"""Lets the pages of chosen origins, and of no other, read every answer below a path, errors too.

Needs:  pip install "flask>=3.1,<4" "flask-cors>=6.0.5,<7"
Add:    configure_cors(app)

Key                        Default               Meaning (unit)
-------------------------  --------------------  ----------------------------------------------
CORS_ORIGINS               []                    who may read: a list, or text with commas, of
                                                 https://app.example.com or, for one label,
                                                 https://*.example.com
CORS_PATH                  "/api/"               where: paths that begin so; "/" is everywhere
CORS_METHODS               GET POST PUT PATCH    what a page may ask for (a list, or text with
                           DELETE OPTIONS        commas, like the next two)
CORS_ALLOW_HEADERS         Content-Type          request headers that a page may set
                           Authorization
                           X-API-Key
                           X-Request-ID
CORS_EXPOSE_HEADERS        X-Request-ID          response headers that a page may read
                           Retry-After
                           RateLimit
                           RateLimit-Policy
CORS_MAX_AGE               600                   how long a browser keeps a preflight (seconds)
CORS_SUPPORTS_CREDENTIALS  true                  cookies and HTTP authentication may be used

Standards: the Fetch standard (CORS protocol), the URL standard (how an origin is written),
RFC 9110 12.5.5 (Vary), OWASP HTML5 Security cheat sheet (Cross Origin Resource Sharing).
Version: 1.0.0

A preflight from an allowed origin is answered before Flask is entered. One from another origin goes
on to the view, which may have rules of its own (flask_cors.cross_origin; with authentication.py in
use, a @public view only); a view that sets Access-Control-Allow-Origin itself keeps its headers.
CORS guards readers, not the service: whoever is not a browser may ask anything, so it replaces
neither authentication nor CSRF protection.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask_cors.core import CONFIG_OPTIONS, get_cors_headers, get_cors_options
from werkzeug.datastructures import Headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    HeaderList = list[tuple[str, str]]
    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_ALLOW_HEADERS = ["Content-Type", "Authorization", "X-API-Key", "X-Request-ID"]
_EXPOSE_HEADERS = ["X-Request-ID", "Retry-After", "RateLimit", "RateLimit-Policy"]
# where pages come from, with the port that browsers leave out; then apps and browser extensions
_SCHEMES = {"http": 80, "https": 443, "capacitor": 0, "ionic": 0, "tauri": 0}
_SCHEMES |= {"chrome-extension": 0, "moz-extension": 0, "safari-web-extension": 0}
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")


def configure_cors(app: Flask) -> None:
    """Put two layers around the application; the keys are read here and never again.

    :raises ValueError: naming the key, its value and what to write instead.
    """
    origins = list(dict.fromkeys(map(_compile_origin, _items(app, "CORS_ORIGINS", []))))
    path = _text(app, "CORS_PATH", "/api/", r"/(.*/)?")
    credentials = _text(app, "CORS_SUPPORTS_CREDENTIALS", "true", r"(?i:true|false)")
    settings = {
        # flask_cors.cross_origin reads these too: it must not meet text that it takes for a regex
        "CORS_ORIGINS": [_for_flask_cors(origin) for origin in origins],
        "CORS_METHODS": _names(app, "CORS_METHODS", _METHODS),
        "CORS_ALLOW_HEADERS": _names(app, "CORS_ALLOW_HEADERS", _ALLOW_HEADERS),
        "CORS_EXPOSE_HEADERS": _names(app, "CORS_EXPOSE_HEADERS", _EXPOSE_HEADERS),
        "CORS_MAX_AGE": _text(app, "CORS_MAX_AGE", "600", r"[0-9]{1,9}"),
        "CORS_SUPPORTS_CREDENTIALS": credentials.lower() == "true",
    }
    for key in CONFIG_OPTIONS:
        if key not in settings and app.config.get(key) is not None:
            raise ValueError(f"{key}: {app.config[key]!a} is not used; remove it, or see CORS_PATH")
    app.config.update(settings, CORS_PATH=path)

    allowed = _matcher(origins)
    inside: Any = app  # innermost, so that all the others see the preflights that are answered
    while hasattr(inside.wsgi_app, "wsgi_app"):
        inside = inside.wsgi_app
    inside.wsgi_app = _Preflights(inside.wsgi_app, path, allowed, _constant(app, "OPTIONS"))
    answers = _Answers(app.wsgi_app, path, allowed, _constant(app, "GET"))
    app.wsgi_app = answers  # type: ignore[method-assign]


@dataclass(eq=False)
class _Layer:
    wsgi_app: WSGIApplication
    path: str
    allowed: Callable[[str], bool]
    headers: HeaderList


class _Answers(_Layer):
    """Adds the headers to whatever is answered inside: by a view, a hook, an error or a layer.

    A request costs 2 us more, with an Origin 3; flask-cors' own hook costs 22 in either case.
    """

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not environ.get("PATH_INFO", "").startswith(self.path):
            return self.wsgi_app(environ, start_response)
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not self.allowed(origin):
            origin = None

        def start(
            status: str, headers: HeaderList, exc_info: ExcInfo | None = None
        ) -> Callable[[bytes], object]:
            _vary_by_origin(headers)
            if origin is not None and not _has_own(headers):
                headers.append(("Access-Control-Allow-Origin", origin))
                headers.extend(self.headers)
            return start_response(status, headers, exc_info)

        return self.wsgi_app(environ, start)


class _Preflights(_Layer):
    """Answers the preflights of allowed origins: in 2 us, where flask-cors in Flask takes 78."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if (
            environ["REQUEST_METHOD"] == "OPTIONS"
            and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
            and environ.get("PATH_INFO", "").startswith(self.path)
            and self.allowed(environ.get("HTTP_ORIGIN", ""))
        ):
            origin = ("Access-Control-Allow-Origin", environ["HTTP_ORIGIN"])
            start_response("204 No Content", [origin, *self.headers])
            return ()
        return self.wsgi_app(environ, start_response)


def _constant(app: Flask, method: str) -> HeaderList:
    """What flask-cors tells any allowed origin: in an answer (GET), in a preflight's (OPTIONS)."""
    asked = {
        "Origin": "https://app.example.com",
        "Access-Control-Request-Method": "".join(app.config["CORS_METHODS"][:1]),
        "Access-Control-Request-Headers": ",".join(app.config["CORS_ALLOW_HEADERS"]),
    }
    options = get_cors_options(app, {"origins": asked["Origin"]})
    told = get_cors_headers(options, Headers(asked), method)
    return [(name, str(told[name])) for name in told if name != "Access-Control-Allow-Origin"]


def _vary_by_origin(headers: HeaderList) -> None:
    """Or a shared cache hands one origin's copy to another."""
    last = None
    for index, (name, value) in enumerate(headers):
        if len(name) == 4 and name.lower() == "vary":
            names = value.lower().replace(" ", "").split(",")
            if "origin" in names or "*" in names:
                return
            last = index
    if last is None:
        headers.append(("Vary", "Origin"))
    else:
        headers[last] = ("Vary", f"{headers[last][1]}, Origin")


def _has_own(headers: HeaderList) -> bool:
    return any(
        len(name) == 27 and name.lower() == "access-control-allow-origin" for name, _ in headers
    )


def _matcher(origins: list[str]) -> Callable[[str], bool]:
    """Look-ups alone: a thousand origins cost what one costs, and nothing is remembered.

    flask-cors tries one after the other, for 260 us before a foreign page is refused. An Origin
    header is compared as it stands, because browsers write an origin in one way only.
    """
    known = frozenset(origins)

    def allowed(origin: str) -> bool:
        if origin in known:
            return "*" not in origin
        scheme, _, host = origin.partition("://")
        label, _, parent = host.partition(".")
        return f"{scheme}://*.{parent}" in known and _LABEL.fullmatch(label) is not None

    return allowed


def _for_flask_cors(origin: str) -> str | re.Pattern[str]:
    """flask-cors takes text with any of * [ ] for a regular expression, and anchors none."""
    if "*" not in origin and "[" not in origin:
        return origin
    return re.compile(rf"\A{re.escape(origin)}\Z".replace(r"\*", _LABEL.pattern))


def _compile_origin(text: str) -> str:
    """Bring a configured origin into the one form in which browsers send it.

    :returns: such as "https://app.example.com:8443", perhaps with `*` for the first label.
    :raises ValueError: with the key, the value and what to write.
    """
    value = text.strip().lower()
    scheme, found, rest = value.partition("://")
    authority = rest.removesuffix("/")
    parts = re.fullmatch(r"(\*\.)?(\[.*\]|[^:\[\]]+)(?::([0-9]{1,5}))?", authority, re.DOTALL)
    star, name, digits = parts.groups() if parts else (None, "", None)
    port = int(digits) if digits else _SCHEMES.get(scheme, 0)
    host = _host(name)
    # below a single label there is everybody; below an address, nobody's subdomain
    narrow = scheme == "https" and host and "." in host and host[-1] not in "0123456789]"
    app, apps = "https://app.example.com", "https://*.example.com"
    for wrong, problem, remedy in (
        (value in ("*", "null"), "lets in pages that nobody chose", app),
        (not found, "has no scheme", f"{app} or http://localhost:3000"),
        (scheme not in _SCHEMES, "has a scheme without pages", " or ".join(_SCHEMES)),
        ("@" in authority, "has user info, which no origin has", app),
        ("?" in authority, "has a query, which no origin has", app),
        ("#" in authority, "has a fragment, which no origin has", app),
        ("/" in authority, "has a path, which no origin has", app),
        ("*" in name, "has a `*` that is not the whole first label", apps),
        (not parts, "has no host, or a port that is no number", app),
        (digits and not 0 < port < 65536, "has a port that is not from 1 to 65535", app),
        # Python's IDNA is not the browsers': some names would become another's
        (
            not host and not value.isascii(),
            "is not ASCII",
            "what location.origin is in the browser",
        ),
        (not host, "has no host as browsers write it (no regular expression either)", app),
        (star and not narrow, "lets in more than one name's subdomains over https", apps),
    ):
        if wrong:
            raise ValueError(f"CORS_ORIGINS: {text!a} {problem}; write {remedy}")
    suffix = "" if port == _SCHEMES[scheme] else f":{port}"
    return f"{scheme}://{star or ''}{host}{suffix}"


def _host(host: str) -> str | None:
    """As browsers write it, addresses at their shortest; None if it is no name and no address."""
    try:
        if host.startswith("["):
            address = ipaddress.IPv6Address(host[1:-1])
            low = int(address) & 0xFFFFFFFF
            mapped = f"::ffff:{low >> 16:x}:{low & 0xFFFF:x}"  # Python 3.13 would write a.b.c.d
            text = mapped if address.ipv4_mapped else address.compressed
            return None if address.scope_id else f"[{text}]"
        if re.fullmatch(r"(.*\.)?([0-9]+|0x[0-9a-f]*)", host):
            return str(ipaddress.IPv4Address(host))
    except ValueError:
        return None
    return host if len(host) < 254 and all(map(_LABEL.fullmatch, host.split("."))) else None


def _items(app: Flask, key: str, default: list[str]) -> list[str]:
    """A list, or text with commas, or a JSON list as text; empty items do not count."""
    value = default if app.config.get(key) is None else app.config[key]
    items: Any = value
    if isinstance(value, str):
        try:
            items = json.loads(value) if value.lstrip()[:1] == "[" else value.split(",")
        except ValueError:
            items = None
    if not isinstance(items, list | tuple | set | frozenset):
        raise ValueError(f"{key}: {value!a} is no list; write it with commas between")
    for item in items:
        if not isinstance(item, str):
            raise ValueError(f"{key}: {item!a} is no text; write each one in quotes")
    return [item.strip() for item in items if item.strip()]


def _names(app: Flask, key: str, default: list[str]) -> list[str]:
    names = _items(app, key, default)
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise ValueError(f"{key}: {name!a} is no name; write each one, such as {default[0]}")
    return names


def _text(app: Flask, key: str, default: str, pattern: str) -> str:
    value = default if app.config.get(key) is None else app.config[key]
    if not re.fullmatch(pattern, str(value)):
        raise ValueError(f"{key}: {value!a} is not understood; write such as {default}")
    return str(value)
