"""Security headers that were made weaker than the defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.checks.finding import Finding, in_production
from app.checks.service import Service
from app.middleware.engine.settings import read_mapping

LEAST_HSTS = 2_592_000  # seconds: 30 days
ANY_SCRIPT = re.compile(  # sources from which a page takes whatever an attacker chooses
    r"'unsafe-(inline|eval|hashes)'|(https?|wss?|data|blob|filesystem):|"
    r"http://\S+|(https?://)?\*(:\S*)?(/\S*)?"
)
NEEDED = {  # what each response needs, by header
    "x-content-type-options": r"nosniff",
    "x-frame-options": r"deny|sameorigin",
    "referrer-policy": r"(?!.*unsafe-url).+",
    "cache-control": r"(?!.*public).+",
    "cross-origin-opener-policy": r"(?!unsafe-none).+",
    "cross-origin-resource-policy": r"(?!cross-origin).+",
}


@in_production
def security_headers(service: Service) -> Iterator[Finding]:
    for name, value in read_mapping(service.config, "SECURITY_HEADERS", "{}").items():
        if name.lower() == "strict-transport-security":
            age = re.search(r"max-age=\"?(\d+)", str(value))
            if int(age[1] if age else 0) < LEAST_HSTS:
                reason = "SECURITY_HEADERS: browsers are hardly or not told to insist on https"
                remedy = "remove Strict-Transport-Security from SECURITY_HEADERS"
                yield Finding("W015", reason, remedy)
        elif not re.fullmatch(NEEDED.get(name.lower(), ".*"), str(value or "").lower()):
            reason = f"SECURITY_HEADERS: {name}: {value or 'nothing'} protects less"
            yield Finding("W024", reason, f"remove {name} from SECURITY_HEADERS")


@in_production
def content_policies(service: Service) -> Iterator[Finding]:
    for key in ("SECURITY_CSP_PAGE", "SECURITY_CSP_API"):
        policy = service.config.get(key)
        if policy is not None and lets_scripts_in(str(policy)):
            reason = f"{key}: {policy!r} lets injected scripts run"
            yield Finding("W016", reason, f"remove {key}, or name what the pages need")


def lets_scripts_in(policy: str) -> bool:
    """Whether this Content-Security-Policy does not stop a script that an attacker brought in."""
    directives: dict[str, list[str]] = {}
    for part in policy.lower().split(";"):
        name, _, value = part.strip().partition(" ")
        directives[name] = value.split()
    fallback = directives.get("script-src", directives.get("default-src", ["*"]))
    for name in ("script-src-elem", "script-src-attr"):
        sources = directives.get(name, fallback)
        if "'strict-dynamic'" in sources:  # browsers that know it pass over hosts and schemes
            sources = [source for source in sources if source == "'unsafe-eval'"]
        if any(map(ANY_SCRIPT.fullmatch, sources)):
            return True
    return False
