"""Which machine and which versions a run's figures belong to."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

VERSIONS = [
    *["flask", "werkzeug", "flask-cors", "flask-limiter", "limits", "flask-talisman"],
    *["python-json-logger", "orjson", "redis", "hiredis", "gunicorn", "granian"],
    *["fastapi", "starlette", "slowapi", "litestar", "uvicorn"],
]
PROGRAMS = {"node": ["node", "--version"], "redis-server": ["redis-server", "--version"]}


def describe(python: Path) -> dict[str, Any]:
    """:param python: the interpreter that the contenders run on."""
    code = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
    command = [str(python), "-c", code, *VERSIONS]
    versions = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": dict(zip(VERSIONS, versions.split(), strict=True)) | programs(),
    }


def processor() -> str:
    """As Linux names it, with family and model: virtual machines often name a maker only."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    named = dict(
        line.split(":", 1) for line in text.partition("\n\n")[0].splitlines() if ":" in line
    )
    found = {key.strip(): value.strip() for key, value in named.items()}
    name = found.get("model name", platform.machine())
    if "cpu family" not in found:
        return name
    return f"{name}, family {found['cpu family']} model {found['model']}"


def programs() -> dict[str, str]:
    found = {}
    for name, command in PROGRAMS.items():
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            continue
        words = [word.removeprefix("v").removeprefix("=") for word in said.split()]
        found[name] = next((word for word in words if word[:1].isdigit()), "?")
    return found
