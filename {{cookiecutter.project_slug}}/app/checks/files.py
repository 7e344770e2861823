"""Files that others may read, and logs that nobody reads. ASVS 5.0 13.4.1-7, 16.2.3, 16.4.2."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from app.checks.finding import Finding, in_production
from app.checks.service import Service

NOT_FOR_VISITORS = {".py", ".env", ".sqlite", ".sqlite3", ".db", ".pem", ".key", ".log", ".bak"}
NOT_FOR_VISITORS |= {".sql", ".toml", ".ini", ".pyc", ".swp"}
MOST_FILES = 5000  # of the static folder that are looked at
NOWHERE = ("/dev/null", "nul", "NUL")


@in_production
def static_files(service: Service) -> Iterator[Finding]:
    folder = service.app.static_folder
    route = next((route for route in service.routes if route.endpoint == "static"), None)
    if route is None or not folder or not Path(folder).is_dir():
        return
    for path in itertools.islice(Path(folder).rglob("*"), MOST_FILES):
        name = path.relative_to(folder)
        is_hidden = any(part.startswith(".") and part != ".well-known" for part in name.parts)
        if path.is_file() and (is_hidden or path.suffix.lower() in NOT_FOR_VISITORS):
            served = route.path.replace("<path:filename>", name.as_posix())
            reason = f"{served} is served to everybody"
            yield Finding("E014", reason, f"move {path} out of the static folder")
            return


@in_production
def secrets_on_disk(service: Service) -> Iterator[Finding]:
    for folder in dict.fromkeys((Path.cwd(), Path(service.app.root_path).parent)):
        path = folder / ".env"
        if os.name == "posix" and path.is_file() and path.stat().st_mode & stat.S_IROTH:
            reason = f"{path} can be read by every user of this machine"
            yield Finding("W039", reason, f"chmod 600 {path}")


@in_production
def code_on_disk(service: Service) -> Iterator[Finding]:
    root = Path(service.app.root_path)
    for path in (root, *root.glob("*.py")) if os.name == "posix" else ():
        if path.exists() and path.stat().st_mode & stat.S_IWOTH:
            reason = f"every user of this machine may change {path}"
            yield Finding("E017", reason, f"chmod -R o-w {root}")
            return


@in_production
def logs(service: Service) -> Iterator[Finding]:
    if "logging" not in service.configured:
        return
    config = service.config
    level = str(config.get("LOG_LEVEL")).upper()
    if str(config.get("LOG_FORMAT")).lower() == "text":
        reason = "LOG_FORMAT is text: lines for people, which no log store can search"
        yield Finding("W014", reason, f"remove {service.place_of('LOG_FORMAT')}")
    if level == "DEBUG":
        reason = "LOG_LEVEL is DEBUG: libraries write addresses, queries and credentials"
        yield Finding("W023", reason, f"remove {service.place_of('LOG_LEVEL')}")
    if level == "CRITICAL":
        reason = "LOG_LEVEL is CRITICAL: exceptions leave no trace"
        yield Finding("W040", reason, f"remove {service.place_of('LOG_LEVEL')}")
    if not config.get("SECURITY_LOG_FILE"):
        reason = "SECURITY_LOG_FILE is not set: refusals stand among the other lines only"
        remedy = "set FLASK_SECURITY_LOG_FILE=- (standard output), or a file this user may write"
        yield Finding("I002", reason, remedy)
    for key in ("LOG_FILE", "SECURITY_LOG_FILE"):
        yield from log_file(key, str(config.get(key) or "-"), service.app.static_folder)


def log_file(key: str, path: str, static_folder: str | None) -> Iterator[Finding]:
    if path in NOWHERE:
        yield Finding("W040", f"{key}: {path} keeps nothing", f"set FLASK_{key}=-")
    elif path != "-" and static_folder and Path(path).resolve().is_relative_to(static_folder):
        yield Finding("E014", f"{key}: {path} is served to everybody", f"set FLASK_{key}=-")
    elif path != "-" and os.name == "posix":
        mode = Path(path).stat().st_mode if Path(path).is_file() else 0
        if mode & stat.S_IWOTH:
            reason = f"{key}: every user of this machine may change {path}"
            yield Finding("W041", reason, f"chmod o-w {path}")
