"""403 where the User-Agent contains a blocked word: hygiene against crude bots, not a defence.

Needs:  pip install "flask>=3.1,<4"
Add:    configure_user_agent_blocking(app)

Key                  Default  Meaning (unit)
-------------------  -------  --------------------------------------------------------
BLOCKED_USER_AGENTS  []       substrings, in any case, of the User-Agent header that are
                              answered 403: ["sqlmap", "nikto"]; a list or
                              comma-separated text, in ASCII; empty: off

Anybody can send another User-Agent, so nothing that must hold may rest on this: it keeps
scanners that do not bother to hide out of the logs and away from the views.

Standards: RFC 9110 sections 10.1.5 (User-Agent) and 15.5.4 (403)
Version: 1.0.0
"""

from __future__ import annotations

import re

from flask import Flask, request
from werkzeug.exceptions import Forbidden


def configure_user_agent_blocking(app: Flask) -> None:
    """Answer 403 where the User-Agent contains one of BLOCKED_USER_AGENTS.

    :raises ValueError: if an entry is not text or is empty (it would block everybody).
    """
    words = blocked_words(app.config.get("BLOCKED_USER_AGENTS"))
    app.config["BLOCKED_USER_AGENTS"] = words
    if not words:
        return
    is_blocked = re.compile("|".join(map(re.escape, words))).search

    @app.before_request
    def refuse_blocked_agents() -> None:
        environ = request.environ
        if is_blocked(environ.get("HTTP_USER_AGENT", "").lower()) and not is_preflight():
            environ["security_event"] = {"event": "user_agent_blocked"}
            raise Forbidden("This user agent is not served.")


def is_preflight() -> bool:
    """A browser sends its own User-Agent in a preflight, and needs the answer to show the 403.

    A view that answers OPTIONS itself is kept from blocked agents whatever they send with it.
    """
    return (
        request.method == "OPTIONS"
        and "HTTP_ORIGIN" in request.environ
        and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.environ
        and getattr(request.url_rule, "provide_automatic_options", True)  # unknown paths, too
    )


def blocked_words(value: object) -> list[str]:
    if value is None or value == "":
        return []
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, (list, tuple, set, frozenset)):
        raise ValueError(
            f"BLOCKED_USER_AGENTS: {value!r} is not a list; "
            'write ["sqlmap", "nikto"] or the text sqlmap,nikto'
        )
    for word in words:
        if not isinstance(word, str) or not word.strip():
            raise ValueError(
                f"BLOCKED_USER_AGENTS: {word!r} in {value!r} would block everybody or nobody; "
                "remove it, or write part of a User-Agent"
            )
        if not word.isascii():  # bytes of any encoding: RFC 9110 section 5.5
            raise ValueError(
                f"BLOCKED_USER_AGENTS: {word!a} is not ASCII and would block nobody; "
                "write a part of the User-Agent that is"
            )
    return [word.strip().lower() for word in words]
