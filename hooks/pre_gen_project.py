"""Refuses answers from which no service would start, each in a line that says what to type."""

import ipaddress
import json
import re
import sys
import unicodedata
from pathlib import Path

ANSWERS = r"""{{ cookiecutter | tojson }}"""
STARTED = Path(".cookiecutter-started")  # for the other hook: its time, and what was not here
STARTERS = r"""{{ starters | tojson }}"""
APPS = ("capacitor", "ionic", "tauri", "chrome-extension", "moz-extension", "safari-web-extension")
COUNT, DAYS = r"\s*0*[1-9][0-9]{0,8}\s*", r"\s*(0*[1-9][0-9]{0,4}\s*)?"
LIMIT = rf"(?ai){COUNT}(/|per)(({COUNT}|\s*)(second|minute|hour)|{DAYS}(day|month|year))s?\s*"
SLUG = re.compile(r"(?!(con|prn|aux|nul|(com|lpt)\d)$)[a-z0-9]+([-_][a-z0-9]+)*", re.A | re.I)


def refused_text(text: str) -> str:
    if any(unicodedata.category(c) in ("Cc", "Cs") and not c.isspace() for c in text):
        return "has control characters; write letters, for example Order Service"
    return "" if text.strip() else "is empty; write a few words, for example Order Service"


def refused_slug(text: str) -> str:
    good = SLUG.fullmatch(text) and len(text) < 65
    return "" if good else "is not a folder name; write letters, digits, - or _: order-service"


def refused_origins(text: str) -> str:
    """Commas or blanks between; nothing, or the word none, means that no page may call."""
    for origin in re.findall(r"[^,\s]+", text.lower()):
        if text.strip().lower() != "none" and (why := refused_origin(origin)):
            return why if origin == text.strip().lower() else f"has {origin!a}, which {why}"
    return ""


def refused_origin(origin: str) -> str:
    """By the rules of the service's cors.py."""
    scheme, found, rest = origin.partition("://")
    authority = rest.removesuffix("/")
    parts = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]+)(?::([0-9]{1,5}))?", authority)
    write = "write https://app.example.com"
    if origin in ("*", "null"):
        return f"lets every page in; name those that may, {write}"
    if not found:
        return "has no scheme; write https:// or http:// before it"
    if scheme not in ("http", "https", *APPS):
        return f"has an unknown scheme; {write}"
    if any(sign in authority for sign in "@?#/"):
        return f"is more than a scheme and a host; {write}"
    if not parts or (parts[2] and not 0 < int(parts[2]) < 65536):
        return f"has no host, or a wrong port; {write}"
    host = parts[1].removeprefix("*.")
    if not is_host(host):
        return f"has no host name; {write} or https://*.example.com"
    if host != parts[1] and (scheme != "https" or "." not in host or host[-1] in "0123456789]"):
        return "lets too many in; write it as https://*.example.com"
    return ""


def is_host(host: str) -> bool:
    try:
        if host.startswith("["):
            return "%" not in host and bool(ipaddress.IPv6Address(host[1:-1]))
        if re.fullmatch(r"(.*\.)?([0-9]+|0x[0-9a-f]*)", host):
            return bool(ipaddress.IPv4Address(host))
    except ValueError:
        return False
    return len(host) < 254 and all(re.fullmatch("[a-z0-9_-]{1,63}", s) for s in host.split("."))


def refused_limits(text: str) -> str:
    for part in re.split("[,;|]", text):
        if not re.fullmatch(LIMIT, part):
            has = "" if part == text else f"has {part.strip()[:60]!a}, which "
            units = "second, minute, hour, day, month or year"
            return f"{has}is not a limit; write 1 or more per {units}: 200 per hour;50 per minute"
    return "" if len(text) < 76 else "is too long; write 3 limits or fewer, 75 characters in all"


def refused_proxies(text: str) -> str:
    good = re.fullmatch(r"\s*(0?[0-9]|10)\s*", text, re.ASCII)
    return "" if good else "is not a whole number from 0 to 10; write 0, or 1 behind nginx"


CHECKS = {
    "project_name": refused_text,
    "project_slug": refused_slug,
    "description": refused_text,
    "cors_origins": refused_origins,
    "rate_limits": refused_limits,
    "trusted_proxies": refused_proxies,
}


def problems(answers: dict[str, object]) -> dict[str, str]:
    """A line on each wrong answer; cookiecutter_flask_middleware.py asks again by it."""
    texts = {name: str(answers[name]) for name in CHECKS if name in answers}
    shown = {name: f"{text[:60]!a}{'...' * (len(text) > 60)}" for name, text in texts.items()}
    wrong = {name: why for name, text in texts.items() if (why := CHECKS[name](text))}
    return {name: f"{name}: {shown[name]} {why}" for name, why in wrong.items()}


def main(answers: dict[str, object], starters: list[str]) -> str | None:
    """:returns: what is wrong, which sys.exit() prints to standard error; None if all is well."""
    for name in ("app", "app/middleware"):
        if Path(f"{name}.py").exists():
            return f"\n{name}.py is here, and {name}/ would hide it; copy single files instead\n"
    for folder in sorted({parent for path in starters for parent in Path(path).parents}):
        if (folder.is_symlink() or folder.exists()) and not folder.is_dir():
            return f"\n{str(folder)!a} is here and is not a folder; move it away first\n"
    if wrong := problems(answers):
        return "\n" + "\n".join(wrong.values()) + "\n"
    STARTED.write_text("\n".join(name for name in starters if not Path(name).exists()), "utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main(json.loads(ANSWERS), json.loads(STARTERS)))
