"""Security headers that were made weaker than the defaults. ASVS 5.0 3.4.1-8, 13.4.6."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from app.checks.finding import Finding, in_production
from app.checks.service import Service, is_public_suffix
from app.middleware.engine.settings import read_mapping

LEAST_HSTS = 2_592_000  # seconds: 30 days
PRELOAD_HSTS = 31_536_000  # seconds, of hstspreload.org
ANY_SCRIPT = re.compile(  # sources from which a page takes whatever an attacker chooses
    r"'unsafe-(inline|eval|hashes)'|(https?|wss?|data|blob|filesystem):|"
    r"http://\S+|(https?://)?\*(:\S*)?(/\S*)?"
)
ANYBODY = {"*", "https:", "http:", "http://*", "https://*"}
NEEDED = {  # what each response needs, by header
    "x-content-type-options": r"nosniff",
    "x-frame-options": r"deny|sameorigin",
    "referrer-policy": r"(?!.*(unsafe-url|no-referrer-when-downgrade)).+",
    "cache-control": r"(?!.*public).+",
    "cross-origin-opener-policy": r"(?!unsafe-none).+",
    "cross-origin-resource-policy": r"(?!cross-origin).+",
    "permissions-policy": r"(?!.*=\s*\(?\*).*",
    "x-xss-protection": r"(?!\s*1).*",
    "x-permitted-cross-domain-policies": r"(?!all).*",
    "server": r"",
    "x-powered-by": r"",
}


@in_production
def security_headers(service: Service) -> Iterator[Finding]:
    everywhere = read_mapping(service.config, "SECURITY_HEADERS", "{}")
    yield from weaker("SECURITY_HEADERS", everywhere)
    for part, headers in read_mapping(service.config, "SECURITY_PATHS", "{}").items():
        if not part.startswith("/") and part not in service.app.blueprints:
            reason = (
                f"SECURITY_PATHS: {part} is neither a path nor a blueprint, and changes nothing"
            )
            yield Finding("W055", reason, f"write /{part} for a path, or the blueprint's name")
        if isinstance(headers, Mapping):
            yield from weaker(f"SECURITY_PATHS[{part}]", headers)


def weaker(place: str, headers: Mapping[str, object]) -> Iterator[Finding]:
    for name, value in headers.items():
        text = str(value or "").lower()
        if name.lower() == "strict-transport-security":
            yield from weak_transport(place, text)
        elif name.lower() == "content-security-policy":
            yield from weak_policy(f"{place}: {name}", text, is_whole=place == "SECURITY_HEADERS")
        elif not re.fullmatch(NEEDED.get(name.lower(), ".*"), text):
            reason = f"{place}: {name}: {value or 'nothing'} protects less"
            yield Finding("W024", reason, f"remove {name} from {place}")


def weak_transport(place: str, value: str) -> Iterator[Finding]:
    remedy = f"remove Strict-Transport-Security from {place}"
    match = re.search(r"max-age=\"?(\d+)", value)
    age = int(match[1]) if match else 0
    if age < LEAST_HSTS:
        reason = f"{place}: browsers are hardly or not told to insist on https"
        yield Finding("W015", reason, remedy)
    elif "preload" in value and (age < PRELOAD_HSTS or "includesubdomains" not in value):
        reason = f"{place}: preload needs includeSubDomains and a year, or no browser takes it"
        yield Finding("W015", reason, remedy)


@in_production
def content_policies(service: Service) -> Iterator[Finding]:
    for key in ("SECURITY_CSP_PAGE", "SECURITY_CSP_API"):
        policy = service.config.get(key)
        if policy is not None:
            yield from weak_policy(key, str(policy).lower(), is_whole=True)


def weak_policy(place: str, policy: str, is_whole: bool) -> Iterator[Finding]:
    """:param is_whole: what the policy does not name is not restricted either."""
    directives = parsed(policy)
    if not is_whole and "script-src" not in directives and "default-src" not in directives:
        directives["default-src"] = ["'none'"]
    if lets_scripts_in(directives):
        reason = f"{place}: {policy!r} lets injected scripts run"
        yield Finding("W016", reason, f"remove {place}, or name what the pages need")
    for name, what in (
        ("frame-ancestors", "any page show these pages in a frame, and steal clicks"),
        ("object-src", "any plugin run"),
        ("base-uri", "an injected <base> move the scripts elsewhere"),
        ("form-action", "an injected form send what visitors type anywhere"),
    ):
        if ANYBODY.intersection(directives.get(name, ())):
            reason = f"{place}: {name} {' '.join(directives[name])} lets {what}"
            yield Finding("W038", reason, f"name the sources, or write {name} 'self'")


def parsed(policy: str) -> dict[str, list[str]]:
    directives: dict[str, list[str]] = {}
    for part in policy.split(";"):
        name, _, value = part.strip().partition(" ")
        directives.setdefault(name, value.split())  # the first one counts
    return directives


def lets_scripts_in(directives: dict[str, list[str]]) -> bool:
    """Whether this policy does not stop a script that an attacker brought in."""
    fallback = directives.get("script-src", directives.get("default-src", ["*"]))
    for name in ("script-src-elem", "script-src-attr"):
        sources = directives.get(name, fallback)
        if "'strict-dynamic'" in sources:  # browsers that know it pass over hosts and schemes
            sources = [source for source in sources if source == "'unsafe-eval'"]
        if any(map(is_anybody, sources)):
            return True
    return False


def is_anybody(source: str) -> bool:
    """Whether an attacker can put a script there."""
    host = source.partition("://")[2] or source
    domain = re.split("[:/]", host.removeprefix("*."))[0]
    return bool(ANY_SCRIPT.fullmatch(source)) or (
        host.startswith("*.") and is_public_suffix(domain)
    )
