"""A real Prometheus that scrapes a service of ours, and what it answers."""

from __future__ import annotations

import contextlib
import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.metrics import TOKEN
from tests.parts import require
from tests.servers import SERVICE, Server, free_port, launch, running

CONFIG = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [alerts.yml]
scrape_configs:
  - job_name: shop
    authorization: {credentials_file: FOLDER/token}
    static_configs: [{targets: ["127.0.0.1:PORT"], labels: {instance: shop-1}}]
"""


@contextlib.contextmanager
def prometheus(scraped: int, folder: Path) -> Iterator[Server]:
    """:param scraped: the port of the service, which is asked each second."""
    (folder / "token").write_text(TOKEN, "ascii")
    shutil.copy(SERVICE / "deploy" / "alerts.yml", folder)
    config = CONFIG.replace("FOLDER", str(folder)).replace("PORT", str(scraped))
    (folder / "prometheus.yml").write_text(config, "ascii")
    port = free_port()
    command: list[str | Path] = [require("prometheus"), f"--config.file={folder}/prometheus.yml"]
    command += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with running(launch(command, port, folder)) as server:
        yield server


def asked(server: Server, path: str, **parameters: object) -> Any:
    """What its API answers, for example asked(server, "query", query="up")."""
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{server.url}/api/v1/{path}?{query}", timeout=10) as response:
        return json.load(response)["data"]
