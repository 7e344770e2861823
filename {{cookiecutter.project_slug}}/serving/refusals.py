"""Requests that never reach the application: they get its problem document all the same.

What gunicorn's parser refuses, and what the worker hangs up on, is no request that Flask could
see. The application is asked for the response alone, by `app.extensions["server_error"]`: a WSGI
application that reads the status from `environ["service.status"]`. Without one, gunicorn's own
page goes out.
"""

from __future__ import annotations

import re
import socket
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

from gunicorn import util
from gunicorn.http import errors
from gunicorn.http.wsgi import Response, base_environ

_STATUS: dict[type[Exception], int] = {
    errors.LimitRequestLine: 414,
    errors.ExpectationFailed: 417,
    errors.LimitRequestHeaders: 431,
    errors.ConfigurationProblem: 500,
    errors.InvalidResponseHeader: 500,
    errors.InvalidResponseHeaderName: 500,
    errors.UnsupportedTransferCoding: 501,
    errors.ForbiddenProxyRequest: 403,
    errors.ParseException: 400,
    TimeoutError: 408,
}
_LINE = re.compile(rb"(?:\r\n)?([A-Z]{3,20}) (/[!-~]*)(?: HTTP/1\.[01]\r\n)?")

_ORIGIN = re.compile(rb"\r\norigin:([^\r]*)(?=\r\n(?![ \t]))", re.IGNORECASE)  # a whole line
_ONE_ORIGIN = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[!-+\--~]{1,300}")  # RFC 6454, 7.1


def status_of(error: Exception) -> int:
    """What an error means to the client; 500 is the service's own fault."""
    return next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)


def environ_of(received: bytes, client: Any, cfg: Any, status: int) -> dict[str, Any]:
    """An environ with what is known of the request, if it could be read: method, path, origin."""
    line = _LINE.match(received)
    path = line[2].partition(b"?")[0].decode("ascii") if line else "/"
    environ = {
        **base_environ(cfg),
        "REQUEST_METHOD": line[1].decode("ascii") if line else "GET",
        "PATH_INFO": util.unquote_to_wsgi_str(path),
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": client[0] if isinstance(client, tuple) else "",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "service.status": status,
    }
    if status != HTTPStatus.SERVICE_UNAVAILABLE:  # that is nobody's fault
        environ["security_event"] = {"event": "malformed_request"}  # for SECURITY_LOG_FILE
    if (origin := _origin_of(received)) is not None:
        environ["HTTP_ORIGIN"] = origin  # the pages of allowed origins can read why
        environ["HTTP_SEC_FETCH_SITE"] = "none"  # no write that csrf.py would have to refuse
    return environ


def _origin_of(received: bytes) -> str | None:
    """What the one whole Origin line says, if what it says can be an origin."""
    head, end, _ = received.partition(b"\r\n\r\n")
    origins = [value.strip(b" \t") for value in _ORIGIN.findall(head + end)]
    is_one = len(origins) == 1 and _ONE_ORIGIN.fullmatch(origins[0])
    return origins[0].decode("ascii") if is_one else None


def send(sock: socket.socket, environ: dict[str, Any], application: Any, cfg: Any) -> None:
    """Send the response to a request that is refused; the connection is closed after it."""
    status = environ["service.status"]
    respond = getattr(application, "extensions", {}).get("server_error")
    if respond is None:
        util.write_error(sock, status, HTTPStatus(status).phrase, "")
        return
    request = SimpleNamespace(method="GET", version=(1, 1), should_close=lambda: True)
    response = Response(request, sock, cfg)
    body = respond(environ, response.start_response)
    try:
        for part in body:
            response.write(part)
        response.close()
    finally:
        if hasattr(body, "close"):
            body.close()
