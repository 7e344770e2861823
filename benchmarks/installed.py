"""Megabytes that each kind of service installs: `python -m benchmarks.installed`.

What a container image has more than its base image is this. Counted are the files that the packages
list, of build/bench-venv, with what they require.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

from benchmarks.in_process import ROOT
from benchmarks.install import bench_python
from benchmarks.report import rows_of, table

FLASK = ["Flask", "gunicorn"]
SERVICE = [*FLASK, "Flask-Cors", "Flask-Limiter", "limits", "orjson", "python-dotenv"]
KINDS = {
    "Flask": FLASK,
    "recipe": [*FLASK, "Flask-Cors", "Flask-Limiter", "python-json-logger"],
    "recipe on Redis": [*FLASK, "Flask-Cors", "Flask-Limiter", "python-json-logger", "redis"],
    "service": SERVICE,
    "service on Redis": [*SERVICE, "redis", "hiredis"],
    "service on Granian": [*SERVICE, "granian"],
    "service with tokens": [*SERVICE, "PyJWT", "cryptography"],
}
NAME = re.compile(r"[\w.-]+")


def closure(names: Sequence[str]) -> dict[str, Distribution]:
    """These distributions and what they require without extras and markers."""
    found: dict[str, Distribution] = {}
    waiting = [*names]
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found[name] = distribution(name)
        for requirement in found[name].requires or ():
            match = NAME.match(requirement)
            if match and ";" not in requirement:
                waiting.append(match[0])
    return found


def bytes_of(one: Distribution) -> int:
    """Without what Python compiles when it first imports them."""
    paths = [Path(str(path.locate())) for path in one.files or () if path.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.exists())


def sizes() -> list[dict[str, Any]]:
    rows = []
    for kind, names in KINDS.items():
        found = closure(names)
        total = sum(bytes_of(one) for one in found.values())
        rows.append({"kind": kind, "packages": len(found), "mb": round(total / 1e6, 1)})
    return rows


def main() -> None:
    if "--here" in sys.argv:
        print(json.dumps(sizes()))
        return
    command = [str(bench_python()), "-m", "benchmarks.installed", "--here"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    print(table(rows_of(json.loads(done.stdout))))


if __name__ == "__main__":
    main()
