"""Real servers for tests: on a free port of 127.0.0.1, ready when returned, stopped at the end.

with gunicorn(service, "--workers", "4", env={"FLASK_RATELIMIT_DEFAULT": "5 per minute"}) as server:
    requests.get(server.url + "/api/ping")
    server.output()        # what it printed so far, both streams
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.parts import require

TEMPLATE = Path(__file__).resolve().parent.parent
SERVICE = TEMPLATE / "{{cookiecutter.project_slug}}"  # runs unbaked, in place
SECRET_KEY = "a key for tests that is long enough, and secret to nobody"
START_SECONDS = 30.0


@dataclass
class Server:
    """A running server: where it listens, its process and what it printed."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self, seconds: float = 10.0) -> None:
        """End the whole process group: politely, then not."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGCONT)
                os.killpg(self.process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@functools.cache
def compiled() -> Path:
    """A copy of the service with its bytecode, which each worker would have to make for itself."""
    folder = Path(tempfile.mkdtemp(prefix="service-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", ".env")
    shutil.copytree(SERVICE, folder, ignore=ignored, dirs_exist_ok=True)
    write_bytecode(folder / "app", folder / "serving")
    return folder


def write_bytecode(*packages: Path) -> None:
    """Beside their files, where other processes look for it: not in build/, as this one does."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", *packages], check=True)


def launch(
    command: Sequence[str | Path],
    port: int,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdout: IO[bytes] | int | None = None,
) -> Server:
    """Start a command and wait until its port answers.

    :param cwd: the folder; a copy of the service in place of SERVICE.
    :param env: on top of this process's environment, without its FLASK_* and APP_CONFIG.
    :param stdout: where its standard output goes; by default into the log with its errors.
    :raises RuntimeError: with what it printed, if it ends or does not listen in 30 s.
    """
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith("FLASK_") and k != "APP_CONFIG"
    }
    handle, name = tempfile.mkstemp(prefix="server-", suffix=".log")
    with os.fdopen(handle, "wb") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=compiled() if cwd == SERVICE else cwd,
            env={**clean, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=log if stdout is None else stdout,
            stderr=log,
            start_new_session=True,
        )
    server = Server(port, process, Path(name))
    deadline = time.monotonic() + START_SECONDS
    while not accepts(port):
        if process.poll() is not None or time.monotonic() > deadline:
            server.stop()
            raise RuntimeError(f"{command[0]} did not start:\n{server.output()}")
        time.sleep(0.02)
    return server


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    try:
        yield server
    finally:
        server.stop()
        server.log.unlink(missing_ok=True)


def production_env(env: Mapping[str, str] | None) -> dict[str, str]:
    return {"FLASK_SECRET_KEY": SECRET_KEY, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}


def gunicorn(
    app_dir: Path = SERVICE,
    *options: str,
    target: str = "wsgi:app",
    env: Mapping[str, str] | None = None,
    stdout: IO[bytes] | int | None = None,
    port: int | None = None,
) -> contextlib.AbstractContextManager[Server]:
    """gunicorn with the folder's own gunicorn.conf.py, if it has one."""
    port = port or free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *options, target]
    return running(launch(command, port, app_dir, production_env(env), stdout))


def granian(
    app_dir: Path = SERVICE,
    *options: str,
    target: str = "wsgi:app",
    env: Mapping[str, str] | None = None,
    stdout: IO[bytes] | int | None = None,
) -> contextlib.AbstractContextManager[Server]:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1"]
    command += ["--port", str(port), *options, target]
    return running(launch(command, port, app_dir, production_env(env), stdout))


def waitress(
    app_dir: Path = SERVICE,
    *options: str,
    target: str = "wsgi:app",
    env: Mapping[str, str] | None = None,
    stdout: IO[bytes] | int | None = None,
) -> contextlib.AbstractContextManager[Server]:
    port = free_port()
    command = [sys.executable, "-m", "waitress", f"--listen=127.0.0.1:{port}", "--ident=", *options]
    return running(launch([*command, target], port, app_dir, production_env(env), stdout))


def redis(
    *options: str, port: int | None = None, cwd: Path | None = None
) -> contextlib.AbstractContextManager[Server]:
    """A redis-server that keeps nothing on disk."""
    port = port or free_port()
    folder = cwd or Path(tempfile.mkdtemp(prefix="redis-"))
    command = [
        str(require("redis-server")),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
    ]
    return running(launch([*command, "--dir", str(folder), *options], port, folder))


def nginx(config: str, port: int, folder: Path) -> contextlib.AbstractContextManager[Server]:
    """nginx in the foreground with the given `http { ... }` content, all its files below folder."""
    paths = "\n".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root; " if os.geteuid() == 0 else ""  # as nobody it could not write below folder
    text = (
        f"{user}daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;\n"
        f"events {{ worker_connections 256; }}\nhttp {{\naccess_log off;\n{paths}\n{config}\n}}\n"
    )
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    command = [str(require("nginx")), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    command += ["-e", "stderr"]
    return running(launch(command, port, folder))


def until(holds: Callable[[], object], seconds: float = START_SECONDS) -> float:
    """Wait until it holds, errors meanwhile aside.

    :returns: after how many seconds it did.
    :raises RuntimeError: if it does not in time.
    """
    start = time.monotonic()
    while True:
        with contextlib.suppress(Exception):
            if holds():
                return time.monotonic() - start
        if time.monotonic() - start > seconds:
            raise RuntimeError(f"did not come to hold in {seconds} s: {holds}")
        time.sleep(0.02)


@dataclass
class Group:
    """Several redis-servers that belong together, and the URI by which they are found."""

    uri: str
    members: list[Server]


@contextlib.contextmanager
def sentinel(service: str = "limits", down_after_ms: int = 1000) -> Iterator[Group]:
    """A master, a replica, and three sentinels that watch them.

    members: master, replica, sentinels.
    """
    from redis import Redis

    connect: Any = Redis
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(redis())
        options = ("--replicaof", f"127.0.0.1 {master.port}", "--repl-diskless-sync-delay", "0")
        replica = stack.enter_context(redis(*options))
        until(lambda: connect(port=replica.port).info("replication")["master_link_status"] == "up")
        watchers = []
        for _ in range(3):
            port, folder = free_port(), Path(tempfile.mkdtemp(prefix="sentinel-"))
            config = folder / "sentinel.conf"
            config.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
                f"sentinel monitor {service} 127.0.0.1 {master.port} 2\n"
                f"sentinel down-after-milliseconds {service} {down_after_ms}\n"
                f"sentinel failover-timeout {service} 3000\n"
            )
            command: list[str | Path] = [require("redis-server"), config, "--sentinel"]
            watchers.append(stack.enter_context(running(launch(command, port, folder))))
        for one in watchers:
            client = connect(port=one.port)
            until(lambda: client.sentinel_master(service)["num-other-sentinels"] == 2)  # noqa: B023
            until(lambda: client.sentinel_master(service)["num-slaves"] == 1)  # noqa: B023
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in watchers)
        yield Group(f"redis+sentinel://{hosts}/{service}", [master, replica, *watchers])


@contextlib.contextmanager
def cluster(node_timeout_ms: int = 1000) -> Iterator[Group]:
    """Three masters and a replica of each.

    members: the masters, then their replicas in the same order.
    """
    from redis import Redis

    connect: Any = Redis
    with contextlib.ExitStack() as stack:
        members: list[Server] = []
        clients: list[Any] = []
        for _ in range(6):
            options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
            options += ["--cluster-node-timeout", str(node_timeout_ms)]
            options += ["--repl-diskless-sync-delay", "0"]
            members.append(stack.enter_context(redis(*options)))
            clients.append(stack.enter_context(connect(port=members[-1].port)))
        ids = [str(client.execute_command("CLUSTER MYID"), "ascii") for client in clients]
        for number, client in enumerate(clients[:3]):
            first, last = number * 16384 // 3, (number + 1) * 16384 // 3 - 1
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for one in members[1:]:
            bus = connect(port=one.port).config_get("cluster-port")["cluster-port"]
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", one.port, bus)
        for number, client in enumerate(clients[3:]):
            master = ids[number]
            until(lambda: client.execute_command("CLUSTER REPLICATE", master))  # noqa: B023
        for client in clients:
            info = functools.partial(client.execute_command, "CLUSTER INFO")
            until(lambda: info()["cluster_state"] == "ok")  # noqa: B023
        for client in clients[3:]:
            until(lambda: client.info("replication")["master_link_status"] == "up")  # noqa: B023
        for client in clients[:3]:
            client.flushall()  # a replica counts for nothing before its first write
        for client in clients:
            slots = functools.partial(client.execute_command, "CLUSTER SLOTS")
            until(lambda: [len(one) for one in slots()] == [4] * 3)  # noqa: B023
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in members)
        yield Group(f"redis+cluster://{hosts}", members)
