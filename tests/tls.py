"""A certificate for localhost, of an authority made for the test."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.parts import require


@dataclass
class Certificate:
    ca: Path
    file: Path
    key: Path

    @property
    def gunicorn_options(self) -> list[str]:
        return [f"--certfile={self.file}", f"--keyfile={self.key}"]


def certificate(folder: Path, *names: str) -> Certificate:
    """:param names: DNS names beside localhost."""
    openssl = require("openssl")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def call(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    call("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA")
    call("req", *new_key, "-keyout", "site.key", "-out", "site.csr", "-subj", "/CN=localhost")
    hosts = ",".join(f"DNS:{name}" for name in ("localhost", *names))
    (folder / "names").write_text(f"subjectAltName={hosts}", encoding="utf-8")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
    call("x509", "-req", "-in", "site.csr", *signed, "-out", "site.pem")
    return Certificate(folder / "ca.pem", folder / "site.pem", folder / "site.key")
