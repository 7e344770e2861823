"""Reloads, scaling, ends of workers and of the service, under load: every request is served."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import pytest

from tests.loads import Load
from tests.servers import SERVICE, Server, free_port, gunicorn, nginx, redis, until
from tests.test_deployment import NGINX

QUIET = {"FLASK_RATELIMIT_ENABLED": "false", "FLASK_LOG_FILE": os.devnull}
STUCK = """
import ctypes
import os


def app(environ, start_response):
    if environ["PATH_INFO"] == "/stuck":
        pipe = os.open("pipe", os.O_RDONLY)
        # with the interpreter's lock: nobody else runs
        while ctypes.PyDLL(None).read(pipe, ctypes.create_string_buffer(1), 1) < 0:
            pass  # a signal came
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
PATIENT = """
__file__ = {path!r}
with open(__file__, encoding="utf-8") as text:
    exec(text.read())

import signal
from gunicorn.arbiter import Arbiter

kill_worker = Arbiter.kill_worker


def stop_after_the_first_abort(self, pid, number):
    kill_worker(self, pid, number)
    if number == signal.SIGABRT:
        Arbiter.kill_worker = kill_worker
        os.kill(os.getpid(), signal.SIGSTOP)


Arbiter.kill_worker = stop_after_the_first_abort
"""
CELLS = [
    pytest.param("HUP", 3, True, False, id="reload"),
    pytest.param("TERM", 3, True, False, id="stop"),
    pytest.param("TERM", 1, False, False, id="stop, new connections"),
    pytest.param("max_requests", 3, True, False, id="workers that end after some requests"),
    pytest.param("TTIN", 3, True, False, id="scale up and down"),
    pytest.param("HUP", 3, True, True, id="reload behind nginx"),
    pytest.param("time-out", 1, True, False, id="the only worker is stuck beyond its time-out"),
]
ALL = list(
    itertools.product(
        ["HUP", "TERM", "max_requests", "TTIN", "time-out"], [1, 3], [True, False], [False, True]
    )
)


CONFIG = ["--config", str(SERVICE / "gunicorn.conf.py")]


def get(connection: http.client.HTTPConnection, path: str = "/") -> bytes:
    connection.request("GET", path)
    with connection.getresponse() as response:
        assert response.status == 200
        return response.read()


def may_get_stuck(folder: Path) -> list[str]:
    """gunicorn's options for an application in this folder."""
    (folder / "pids.py").write_text(STUCK, encoding="ascii")
    (folder / "patient.py").write_text(PATIENT.format(path=CONFIG[1]), encoding="utf-8")
    os.mkfifo(folder / "pipe")
    return ["--config", "patient.py", "--timeout", "3"]


@contextlib.contextmanager
def patient_after_a_time_out(server: Server, folder: Path) -> Iterator[None]:
    """A worker is stuck until gunicorn's main process has told it to end. That would kill it a
    second later; here it waits until the worker has ended."""
    main = server.process.pid
    pipe = os.open(folder / "pipe", os.O_RDWR)
    try:
        until(lambda: os.waitid(os.P_PID, main, os.WSTOPPED | os.WNOWAIT | os.WNOHANG))
        os.write(pipe, b"x")
        yield
        (pid,) = re.findall(r"WORKER TIMEOUT \(pid:(\d+)\)", server.output())
        until(lambda: ") Z " in Path(f"/proc/{pid}/stat").read_text())
    finally:
        os.close(pipe)
        os.kill(main, signal.SIGCONT)


def happens(what: str, load: Load, service: Server, folder: Path) -> None:
    signals = {"HUP": ["HUP"] * 4, "TERM": ["TERM"], "TTIN": ["TTIN", "TTIN", "TTOU", "TTOU"]}
    for number, name in enumerate(signals.get(what, ()), 1):
        load.half_way(0.5 if what == "TERM" else number / 5)
        os.kill(service.process.pid, getattr(signal, f"SIG{name}"))
    if what == "time-out":
        load.half_way()
        with (
            ThreadPoolExecutor(1) as pool,
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", service.port)) as client,
        ):
            stuck = pool.submit(get, client, "/stuck")
            with patient_after_a_time_out(service, folder):
                assert stuck.result()


@contextlib.contextmanager
def in_front(ports: list[int], folder: Path) -> Iterator[Server]:
    """The nginx of the docs, in front of one instance or several."""
    port = free_port()
    line = "server 127.0.0.1:8000 max_fails=0;"
    assert line in NGINX
    config = NGINX.replace(line, "\n".join(line.replace("8000", str(one)) for one in ports))
    config = config.replace("listen 80;", f"listen 127.0.0.1:{port};")
    with nginx(config, port, folder) as server:
        yield server


def lost(what: str, workers: int, keep_alive: bool, behind: bool, number: int, at: Path) -> str:
    """Run a load during which this happens, and say what was lost; empty is nothing."""
    options = ["--workers", str(workers)]
    options += ["--max-requests", str(number // 15)] if what == "max_requests" else []
    with contextlib.ExitStack() as stack:
        env = dict(QUIET)
        if what == "TTIN":
            store = stack.enter_context(redis())
            env["FLASK_RATELIMIT_STORAGE_URI"] = f"redis://127.0.0.1:{store.port}/0"
        place, target = SERVICE, "wsgi:app"
        if what == "time-out":
            place, target = at, "pids:app"
            options += may_get_stuck(at)
        service = stack.enter_context(gunicorn(place, *options, target=target, env=env))
        front = stack.enter_context(in_front([service.port], at)) if behind else service
        stops = what == "TERM"
        load = Load(front.port, number, keep_alive=keep_alive, stop_when_refused=stops)
        with load.running():
            happens(what, load, service, at)
        wrong = {code: n for code, n in load.statuses.items() if code not in (200, 201)}
        if stops and behind:  # a service that is not there any more is a 502 that is right
            said = front.output()
            wrong.pop(502, None)
            load.lost += [line for line in said.splitlines() if "prematurely" in line]
        assert stops or load.refused == 0
        assert sum(load.statuses.values()) + len(load.lost) + load.refused == load.sent
        assert load.sent == number or stops
        return f"{wrong} {load.lost[:3]}" if wrong or load.lost else ""


@pytest.mark.parametrize(("what", "workers", "keep_alive", "behind"), CELLS)
def test_no_request_is_lost_when(
    what: str, workers: int, keep_alive: bool, behind: bool, tmp_path: Path
) -> None:
    assert lost(what, workers, keep_alive, behind, 1500, tmp_path) == ""


@pytest.mark.soak
@pytest.mark.parametrize(("what", "workers", "keep_alive", "behind"), ALL)
def test_none_of_ten_thousand_requests_is_lost_when(
    what: str, workers: int, keep_alive: bool, behind: bool, tmp_path: Path
) -> None:
    assert lost(what, workers, keep_alive, behind, 10_000, tmp_path) == ""


@pytest.mark.parametrize("number", [1500, pytest.param(10_000, marks=pytest.mark.soak)])
def test_no_request_is_lost_when_instances_are_restarted_one_after_the_other(
    number: int, tmp_path: Path
) -> None:
    ports = [free_port(), free_port()]
    with contextlib.ExitStack() as stack:
        instances = [stack.enter_context(gunicorn(env=QUIET, port=port)) for port in ports]
        load = Load(stack.enter_context(in_front(ports, tmp_path)).port, number)
        with load.running():
            for share, port, instance in zip((0.25, 0.6), ports, instances, strict=True):
                load.half_way(share)
                instance.process.terminate()
                instance.process.wait()
                stack.enter_context(gunicorn(env=QUIET, port=port))
    assert (load.lost, load.refused) == ([], 0)
    assert set(load.statuses) == {200, 201}


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    (tmp_path / "pids.py").write_text(STUCK, encoding="ascii")
    return tmp_path


def test_a_worker_that_was_stuck_beyond_its_time_out_still_answers_what_it_has(
    tmp_path: Path,
) -> None:
    with (
        gunicorn(tmp_path, *may_get_stuck(tmp_path), target="pids:app") as server,
        ThreadPoolExecutor(4) as pool,
        contextlib.ExitStack() as stack,
    ):
        connections = [
            stack.enter_context(
                contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30))
            )
            for _ in range(4)
        ]
        before = {get(connection) for connection in connections}
        answers = [
            pool.submit(get, connection, path)
            for connection, path in zip(connections, ["/stuck", "/", "/", "/"], strict=True)
        ]
        with patient_after_a_time_out(server, tmp_path):
            assert {answer.result() for answer in answers} == before
        until(lambda: {ask_anew(server)}.isdisjoint(before))  # it has ended, and another serves


def busiest(server: Server, clients: int = 16) -> float:
    """The share of connections that the busiest worker has, of those that are kept alive."""
    connections = [
        http.client.HTTPConnection("127.0.0.1", server.port, timeout=30) for _ in range(clients)
    ]
    with ThreadPoolExecutor(clients) as pool:
        served = Counter(pool.map(get, connections))
    for connection in connections:
        connection.close()
    return max(served.values()) / clients


@pytest.mark.parametrize("workers", [2, 3])
def test_no_worker_takes_more_than_its_part_of_the_connections(pids: Path, workers: int) -> None:
    options = [*CONFIG, "--workers", str(workers)]
    with gunicorn(pids, *options, target="pids:app") as server:
        until(lambda: len({ask_anew(server) for _ in range(4 * workers)}) == workers)
        # the median: now and then the machine keeps the others from running at all
        assert median(busiest(server) for _ in range(10)) <= 1 / workers + 0.1


def ask_anew(server: Server) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with contextlib.closing(connection):
        return get(connection)


def test_one_worker_more_is_refused_where_each_has_limits_of_its_own() -> None:
    with gunicorn(env={"FLASK_RATELIMIT_DEFAULT": "5 per minute"}) as server:
        os.kill(server.process.pid, signal.SIGTTIN)
        until(lambda: "TTIN refused: FLASK_RATELIMIT_STORAGE_URI names no store" in server.output())
        assert server.output().count("Booting worker") == 1
        statuses = [limited(server) for _ in range(8)]
        assert statuses == [200] * 5 + [429] * 3


def test_workers_that_come_and_go_share_the_limits_anew_while_the_store_is_away() -> None:
    env = {
        "FLASK_RATELIMIT_DEFAULT": "12 per minute",
        "FLASK_RATELIMIT_STORAGE_URI": f"redis://127.0.0.1:{free_port()}/0",
    }
    with gunicorn(SERVICE, "--workers", "2", env=env) as server:
        booted = 2
        for name, workers in [("TTIN", 3), ("TTOU", 2)]:
            os.kill(server.process.pid, getattr(signal, f"SIG{name}"))
            booted += workers
            until(lambda: server.output().count("Booting worker") == booted)  # noqa: B023
            until(lambda: server.output().count("Worker exiting") == booted - workers)  # noqa: B023
            admitted = itertools.accumulate(admitted_of(server, 48) for _ in range(100))
            until(lambda: next(admitted) >= 12)  # noqa: B023 - once the last has booted
            assert next(admitted) == 12


def admitted_of(server: Server, number: int) -> int:
    with ThreadPoolExecutor(24) as pool:
        return Counter(pool.map(limited, [server] * number))[200]


def limited(server: Server) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/api/ping")
        return connection.getresponse().status
