"""403 where the User-Agent contains a blocked word: hygiene against crude bots, not a defence.

Needs:  pip install "flask>=3.1,<4"
Copy:   engine/ (clients, settings)
Add:    configure_user_agent_blocking(app)

Key                  Default  Meaning (unit)
-------------------  -------  --------------------------------------------------------
BLOCKED_USER_AGENTS  []       substrings, in any case, of the User-Agent header that are
                              refused with 403: ["sqlmap", "nikto"]; a list or
                              comma-separated text, in ASCII; empty: off

Anybody can send another User-Agent, so nothing that must hold may rest on this: it keeps
scanners that do not bother to hide out of the logs and away from the views.

Standards: RFC 9110 sections 10.1.5 (User-Agent) and 15.5.4 (403)
Version: 2.0.0
"""

from __future__ import annotations

import re

from flask import Flask, request
from werkzeug.exceptions import Forbidden

from .engine.clients import is_automatic_preflight
from .engine.settings import Config, read_list, refuse


def configure_user_agent_blocking(app: Flask) -> None:
    """Respond 403 where the User-Agent contains one of BLOCKED_USER_AGENTS.

    :raises ValueError: if an entry is not printable ASCII text.
    """
    words = app.config["BLOCKED_USER_AGENTS"] = _read_words(app.config, "BLOCKED_USER_AGENTS")
    if not words:
        return
    is_blocked = re.compile("|".join(map(re.escape, words))).search

    @app.before_request
    def refuse_blocked_agents() -> None:
        environ = request.environ
        if not is_blocked(environ.get("HTTP_USER_AGENT", "").lower()):
            return
        # A browser sends its own User-Agent in a preflight, and needs a response to show the 403.
        # A view that responds to OPTIONS itself is kept from blocked agents.
        if not is_automatic_preflight(request):
            environ["security_event"] = {"event": "user_agent_blocked"}
            raise Forbidden("This user agent is not served.")


def _read_words(config: Config, key: str) -> list[str]:
    words = read_list(config, key, example="sqlmap, nikto")
    for word in words:
        if not (word.isascii() and word.isprintable()):  # RFC 9110 section 5.5
            refuse(key, word, "is not printable ASCII and would block nobody", "sqlmap, nikto")
    return [word.lower() for word in words]
