"""What a security person looks for: which requests were refused, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from werkzeug.exceptions import SecurityError
from werkzeug.wsgi import get_host

EVENTS = {401: "authn_failed", 403: "authz_denied", 413: "body_refused", 429: "rate_limited"}
REASONS = (  # all that are told by the files here
    *EVENTS.values(),
    "cross_origin_write",
    "host_refused",
    "malformed_request",
    "origin_refused",
    "user_agent_blocked",
)


def refusal_of(
    environ: Mapping[str, Any], status: int, trusted_hosts: Any
) -> dict[str, str] | None:
    """The event and what belongs to it: told by whoever refused, in environ["security_event"], or
    else found by the status.

    :param trusted_hosts: a list, or text with commas; None or empty trusts all.
    """
    if status < 400:  # whoever refused something, the request was not
        return None
    event = environ.get("security_event")
    if event is not None:
        return {key: str(value) for key, value in event.items()}
    if status == 400 and not _is_trusted_host(environ, trusted_hosts):
        return {"event": "host_refused"}
    return {"event": EVENTS[status]} if status in EVENTS else None


def _is_trusted_host(environ: Mapping[str, Any], trusted: Any) -> bool:
    try:
        get_host(dict(environ), trusted.split(",") if isinstance(trusted, str) else trusted or None)
    except SecurityError:
        return False
    return True
