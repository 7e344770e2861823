"""What the benchmark runs with, put below build/: a virtual environment, and the peers in Node."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.in_process import BUILD, ROOT, Failed

REQUIREMENTS = ROOT / "benchmarks" / "requirements.txt"
PEERS = ROOT / "benchmarks" / "peers"
NODE = BUILD / "peers"


def needed(program: str, package: str) -> str:
    """:raises Failed: naming the Debian package that brings the program."""
    found = shutil.which(program)
    if not found:
        raise Failed(f"{program} is not installed: apt-get install {package}")
    return found


def bench_python() -> Path:
    """The interpreter of build/bench-venv, which is made anew when the requirements change."""
    folder = BUILD / "bench-venv"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = folder / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print("installing the contenders into build/bench-venv", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)]
        subprocess.run(command, check=True)
        stamp.write_text(wanted)
    return python


def node_peers() -> Path:
    """build/peers, with what the peers in Node need in the versions of package-lock.json."""
    NODE.mkdir(parents=True, exist_ok=True)
    lock, installed = PEERS / "package-lock.json", NODE / "package-lock.json"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        print("installing the peers in Node into build/peers", file=sys.stderr)
        for name in ("package.json", ".npmrc", "package-lock.json"):
            shutil.copy(PEERS / name, NODE / name)
        subprocess.run([needed("npm", "npm"), "ci", "--silent"], cwd=NODE, check=True)
    return NODE
