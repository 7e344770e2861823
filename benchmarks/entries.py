"""Who is served over HTTP: a contender behind a server, with its threads and workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.in_process import SERVICE
from benchmarks.install import PEERS, needed

WSGI = "benchmarks.wsgi:app"
PEER_SERVERS = {"fastapi": "uvicorn", "litestar": "uvicorn", "express": "node", "fastify": "node"}
CONNECTIONS = 16


@dataclass(frozen=True)
class Entry:
    """One server; labels of those that stand ready together must differ."""

    server: str  # gunicorn gthread, granian, uvicorn or node
    contender: str
    threads: int = 1
    workers: int = 1
    storage: str = "memory://"
    service: Path = SERVICE  # the folder whose `app` is imported
    prefix: str = ""  # of the label, where two checkouts serve the same

    @property
    def label(self) -> str:
        return f"{self.prefix}{self.server} {self.workers}x{self.threads}: {self.contender}"

    @property
    def is_peer(self) -> bool:
        return self.contender in PEER_SERVERS

    def command(self, python: Path, port: int) -> list[str]:
        """What starts it on a port of 127.0.0.1."""
        host = "127.0.0.1"
        threads, workers = str(self.threads), str(self.workers)
        if self.server == "node":
            script = PEERS / f"{self.contender}_app.js"
            return [needed("node", "nodejs"), str(script), str(port)]
        if self.server == "uvicorn":
            options = ["--host", host, "--port", str(port), "--no-access-log", "--proxy-headers"]
            return [
                str(python),
                "-m",
                "uvicorn",
                *options,
                f"benchmarks.peers.{self.contender}_app:app",
            ]
        if self.server == "granian":
            options = ["--interface", "wsgi", "--host", host, "--port", str(port)]
            options += ["--blocking-threads", threads, "--workers", workers, "--no-access-log"]
            return [str(python), "-m", "granian", *options, WSGI]
        options = ["--bind", f"{host}:{port}", "-k", "gthread"]
        options += ["--threads", threads, "--workers", workers]
        if self.workers > 1:
            options.append("--reuse-port")  # otherwise one of them gets nearly all connections
        return [str(python), "-m", "gunicorn", *options, WSGI]


def one_process(threads: tuple[int, ...] = (1, 4, 8)) -> list[Entry]:
    """On memory://, which no contender shares between processes."""
    ours = [
        Entry(server, contender, count)
        for server in ("gunicorn gthread", "granian")
        for count in threads
        for contender in ("bare", "floor", "generated")
    ]
    recipes = [Entry("gunicorn gthread", "recipe", 4), Entry("granian", "recipe", 1)]
    return [*ours, *recipes, *(Entry(server, peer) for peer, server in PEER_SERVERS.items())]


def on_redis(uri: str) -> list[Entry]:
    """One and two workers; each contender counts in a database of its own."""
    settings = [
        (server, threads, workers, contender)
        for server, threads in (("gunicorn gthread", 4), ("granian", 1))
        for workers in (1, 2)
        for contender in ("bare", "recipe", "generated")
    ]
    return [
        Entry(server, contender, threads, workers, f"{uri}/{database}")
        for database, (server, threads, workers, contender) in enumerate(settings)
    ]
