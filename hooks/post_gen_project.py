"""Sets app/config.py and .env, says what comes next; changes no file that this run has not made."""

import json
import os
import re
import sys
from pathlib import Path

ANSWERS = r"""{{ cookiecutter | tojson }}"""
STARTED, CONFIG, ENV = Path(".cookiecutter-started"), Path("app/config.py"), Path(".env")
CACHES = r"(^|/)(__pycache__|\.hypothesis|\.[a-z]+_cache|[^/]*\.egg-info)/|\.pyc$"
UNWANTED = re.compile(rf"{CACHES}|^HOOKS-DID-NOT-RUN\.md$")
FILES = (
    "proxy logging metrics cors csrf rate_limiting user_agents authentication validation security"
)
DEFAULTS = """    CORS_ORIGINS = ["http://localhost:3000"]
    RATELIMIT_DEFAULT = "200 per hour;50 per minute"
    TRUSTED_PROXIES = 0
    RATELIMIT_KEY_PREFIX = "flask-service"
"""


def settings(answers: dict[str, str]) -> list[str]:
    """The lines for DEFAULTS, in their order, as `ruff format` would have them."""
    origins = re.split(r"[,\s]+", answers["cors_origins"].lower())
    quoted = [json.dumps(o.removesuffix("/")) for o in origins if o not in ("", "none")]
    listed = ", ".join(quoted)
    if len(listed) > 78:
        listed = "".join(f"\n        {origin}," for origin in quoted) + "\n    "
    return [
        f"    CORS_ORIGINS = [{listed}]\n",
        f"    RATELIMIT_DEFAULT = {json.dumps(' '.join(answers['rate_limits'].split()))}\n",
        f"    TRUSTED_PROXIES = {int(answers['trusted_proxies'])}\n",
        f"    RATELIMIT_KEY_PREFIX = {json.dumps(answers['project_slug'])}\n",
    ]


def configure(text: str, lines: list[str]) -> str:
    for default, line in zip(DEFAULTS.splitlines(keepends=True), lines, strict=True):
        if text.count(default) != 1:
            sys.exit(f"{CONFIG}: expected this line once: {default.strip()}")
        text = text.replace(default, line)
    compile(text, CONFIG, "exec")
    return text


def tidy(since: int, starters: list[str]) -> None:
    """Remove caches of a template in use, a note for bakes without hooks, what an adopter has."""
    for folder, folders, files in os.walk("."):
        folders[:] = sorted({*folders} - {".git", ".venv", "node_modules"})
        for path in (Path(folder, name) for name in files):
            if path.lstat().st_mtime_ns < since:
                continue
            if path.as_posix() not in starters and not UNWANTED.search(path.as_posix()):
                path.chmod(path.stat().st_mode | 0o200)  # a template may be read-only
                continue
            path.unlink()
            if not os.listdir(folder):
                os.removedirs(folder)


def write_secret() -> None:
    ENV.touch(0o600)
    head = "# Secrets of this machine, not for git. .env.example explains every key.\n"
    ENV.write_text(f"{head}FLASK_SECRET_KEY={os.urandom(32).hex()}\n", "ascii", newline="\n")


def read(path: str | Path) -> str:
    return Path(path).read_text("utf-8", "replace") if Path(path).is_file() else ""


def missing(code: str) -> dict[str, str]:
    """The middleware files whose configure_<what>() the code does not call, with its name."""
    found = {f: re.search("Add: +([a-z_]+)", read(f"app/middleware/{f}.py")) for f in FILES.split()}
    return {file: add[1] for file, add in found.items() if add and f"{add[1]}(" not in code}


def their_application(since: int) -> str:
    """The file that was here before and makes a Flask."""
    patterns = ("app/__init__.py", "*.py", "*/*.py", "*/*/*.py")
    paths = (path for pattern in patterns for path in sorted(Path().glob(pattern)))
    theirs = (p.as_posix() for p in paths if p.is_file() and p.stat().st_mtime_ns < since)
    skipped = re.compile(r"\.|(.*/)?(tests?/|test_|conftest)")
    return next((p for p in theirs if "Flask(" in read(p) and not skipped.match(p)), "")


def how_to_adopt(path: str, lines: list[str]) -> str:
    calls, known = missing(read(path)), read(path) + read(CONFIG)
    rows = [f"No file that was here has changed, and {path!a} calls every middleware."]
    if calls:
        tops = "".join(read(f"app/middleware/{file}.py") for file in calls)
        packages = sorted({*" ".join(re.findall("Needs: +pip install (.+)", tops)).split()})
        rows = ["No file that was here has changed; `git status` lists what came. To use it:"]
        rows += [f"    pip install {' '.join(packages)}", f"Add to {path!a}:"]
        rows += [f"    from app.middleware.{file} import {name}" for file, name in calls.items()]
        rows += ["and in its create_app(), after app.config is complete:"]
        rows += [f"    {name}(app)" for name in calls.values()]
    keys = [row.rstrip() for row in lines if row.split()[0] not in known]
    return "\n".join([*rows, *(["Add to your configuration:", *keys] if keys else [])])


def main(answers: dict[str, str]) -> None:
    since, absent = STARTED.stat().st_mtime_ns, read(STARTED).splitlines()
    STARTED.unlink()
    path, lines = their_application(since), settings(answers)
    tidy(since, absent if path else [])  # beside our wsgi.py, Flask would not find theirs
    if path:
        open("app/__init__.py", "ab").close()  # for the imports, where they have none
        return print(how_to_adopt(path, [*lines, "    MAX_CONTENT_LENGTH = 1048576  # bytes"]))
    if CONFIG.stat().st_mtime_ns >= since:
        CONFIG.write_text(configure(read(CONFIG), lines), encoding="utf-8", newline="\n")
    if not os.path.lexists(ENV) or ENV.lstat().st_mtime_ns >= since:
        write_secret()
    here = Path.cwd()
    folder = here.name if os.environ.get("PWD") == str(here.parent) else ascii(str(here))
    print(f"\nNext:\n    cd {folder}\n    make run\n    curl -i http://127.0.0.1:5000/api/ping\n")


if __name__ == "__main__":
    main(json.loads(ANSWERS))
