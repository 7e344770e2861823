"""Rate limits on real servers: exact over workers, services and proxies, and in one round trip."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.limited import in_process, log_lines, make_app, over_http, state
from tests.parts import require
from tests.servers import SERVICE, Server, free_port, gunicorn, nginx, production_env, redis, until

WORKERS = ("--workers", "4", "--threads", "8")


def settings(store: Server | None, limits: str = "37 per hour", **more: str) -> dict[str, str]:
    env = {"FLASK_RATELIMIT_DEFAULT": limits, "FLASK_TRUSTED_PROXIES": "1"}
    if store:
        env["FLASK_RATELIMIT_STORAGE_URI"] = f"redis://127.0.0.1:{store.port}/0"
    return {**env, **{f"FLASK_{key}": value for key, value in more.items()}}


def client(address: str) -> Callable[[int], dict[str, str]]:
    return lambda _: {"X-Forwarded-For": address}


def check_workers(rounds: int) -> None:
    with redis() as store, gunicorn(SERVICE, *WORKERS, env=settings(store)) as server:
        for number in range(rounds):
            responses = over_http([server.port], 64, client(f"192.0.2.{number}"), threads=32)
            assert (responses.admitted, responses.failed) == (37, 0)


def test_four_workers_with_eight_threads_admit_the_limit() -> None:
    check_workers(rounds=4)


@pytest.mark.soak
def test_four_workers_with_eight_threads_admit_the_limit_at_full_size() -> None:
    check_workers(rounds=100)


def test_two_services_on_one_store_share_a_limit_and_others_do_not() -> None:
    with ExitStack() as stack:
        store = stack.enter_context(redis())
        env = settings(store)
        one, two = (stack.enter_context(gunicorn(SERVICE, *WORKERS[:2], env=env)) for _ in "12")
        both = over_http([one.port, two.port], 80, client("192.0.2.1"))
        assert (both.admitted, both.failed) == (37, 0)
        other = make_app(env["FLASK_RATELIMIT_STORAGE_URI"], RATELIMIT_KEY_PREFIX="other")
        assert in_process(other, 5, "192.0.2.1").admitted == 5


def test_while_the_store_is_away_all_workers_together_admit_no_more_than_the_limit() -> None:
    with redis() as store, gunicorn(SERVICE, *WORKERS, env=settings(store)) as server:
        assert over_http([server.port], 8, client("192.0.2.1")).admitted == 8
        os.killpg(store.process.pid, signal.SIGKILL)
        for address in ("192.0.2.2", "192.0.2.3", "192.0.2.4"):
            responses = over_http([server.port], 200, client(address), threads=32)
            assert responses.failed == 0
            assert 0 < responses.admitted <= 37
        until(lambda: server.output().count("rate_limit_store_lost") == 4)
        with redis(port=store.port):
            until(lambda: server.output().count("rate_limit_store_back") == 4, 5)
            after = over_http([server.port], 64, client("192.0.2.5"), threads=32)
            assert (after.admitted, after.failed) == (37, 0)
        assert server.output().count("rate_limit_store_lost") == 4


@pytest.mark.parametrize(
    "preload", [[], pytest.param(["--preload"], marks=pytest.mark.soak)], ids=["", "preload"]
)
def test_each_worker_knows_its_place_also_after_another_has_died(preload: list[str]) -> None:
    limits = "7 per hour"  # cannot be divided by four
    env = settings(None, limits, RATELIMIT_STORAGE_URI=f"redis://127.0.0.1:{free_port()}")
    with gunicorn(SERVICE, *WORKERS, *preload, env=env) as server:
        assert admitted_by_all(server, "192.0.2.1") == 7
        pids = re.findall(r"Booting worker with pid: (\d+)", server.output())
        os.kill(int(pids[1]), signal.SIGKILL)
        until(lambda: server.output().count("Worker serving") == 5)
        assert admitted_by_all(server, "192.0.2.2") == 7


def admitted_by_all(server: Server, address: str) -> int:
    """Ask until no worker admits one more; the kernel spreads connections as it likes."""
    admitted, quiet = 0, 0
    while quiet < 6:
        more = over_http([server.port], 32, client(address), threads=32).admitted
        admitted, quiet = admitted + more, 0 if more else quiet + 1
        time.sleep(0.1)  # some workers may still be starting
    return admitted


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
def test_several_workers_without_a_store_do_not_start(preload: list[str]) -> None:
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{free_port()}"]
    command += ["--workers", "4", *preload, "wsgi:app"]
    env = {**os.environ, **production_env(settings(None))}
    ended = subprocess.run(command, cwd=SERVICE, env=env, capture_output=True, timeout=60)
    assert ended.returncode != 0
    assert b"RATELIMIT_STORAGE_URI: 'memory://' with 4 workers" in ended.stderr
    assert b"redis://host:6379" in ended.stderr


def spoofed(n: int) -> dict[str, str]:
    return {"X-Forwarded-For": f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"}


def in_one_network(n: int) -> dict[str, str]:
    return {"X-Forwarded-For": f"2001:db8:0:7:{n & 0xFFFF:x}::{n >> 4:x}"}


@contextmanager
def behind_nginx(server: Server, folder: Path) -> Iterator[Server]:
    port = free_port()
    config = (
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {server.url}; "
        "proxy_http_version 1.1; proxy_set_header Connection ''; "
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } }"
    )
    with nginx(config, port, folder) as front:
        yield front


def check_spoofing(folder: Path, requests: int) -> None:
    direct = settings(None, TRUSTED_PROXIES="0")
    with gunicorn(SERVICE, "--threads", "8", env=direct) as server:
        responses = over_http([server.port], requests, spoofed, threads=8)
        assert (responses.admitted, responses.failed) == (37, 0)
    with gunicorn(SERVICE, "--threads", "8", env=settings(None)) as server:
        with behind_nginx(server, folder) as front:
            responses = over_http([front.port], requests, spoofed, threads=8)
            assert (responses.admitted, responses.failed) == (37, 0)
        responses = over_http([server.port], 400, in_one_network, threads=8)
        assert (responses.admitted, responses.failed) == (37, 0)


def test_spoofed_addresses_admit_nothing_directly_nor_behind_nginx(tmp_path: Path) -> None:
    check_spoofing(tmp_path, 400)


@pytest.mark.soak
def test_spoofed_addresses_admit_nothing_at_full_size(tmp_path: Path) -> None:
    check_spoofing(tmp_path, 10_000)


def test_a_request_asks_the_store_once_however_many_limits_it_has() -> None:
    with redis() as store:
        uri = f"redis://:pw@127.0.0.1:{store.port}/3"
        with Redis(port=store.port) as admin:
            admin.config_set("requirepass", "pw")
        limits = {
            "RATELIMIT_DEFAULT": "9/minute;90/hour;900/day",
            "RATELIMIT_APPLICATION": "99/hour",
        }
        app = make_app(uri, **limits)
        with Redis(port=store.port, password="pw") as admin, admin.monitor() as monitor:
            in_process(app, 3, "192.0.2.1", threads=1)
            admin.ping()  # says HELLO first, on a connection of its own
            said = []
            for command in monitor.listen():
                if command["command"].startswith("HELLO"):
                    break
                if command["client_type"] != "lua" and ":probe" not in command["command"]:
                    said.append(command["command"].split()[0])
        asked = [word for word in said if word not in ("AUTH", "SELECT")]  # once per connection
        assert asked == ["EVALSHA"] * 3


def flask_limiter(env: dict[str, str], *words: str) -> str:
    command = [sys.executable, "-m", "flask", "limiter", *words]
    env = {**os.environ, **env, "NO_COLOR": "1", "COLUMNS": "200"}
    ended = subprocess.run(command, cwd=SERVICE, env=env, capture_output=True, timeout=60)
    return f"{ended.returncode} {ended.stdout.decode()} {ended.stderr.decode()}"


def test_flask_limiter_commands_tell_how_it_is() -> None:
    with redis() as store:
        env = settings(store)
        env["FLASK_RATELIMIT_STORAGE_URI"] = f"redis://:pw@127.0.0.1:{store.port}"
        with Redis(port=store.port) as admin:
            admin.config_set("requirepass", "pw")
        with gunicorn(SERVICE, env={**env, "FLASK_TRUSTED_PROXIES": "0"}) as server:
            assert over_http([server.port], 50, lambda n: {}).admitted == 37
            assert over_http([server.port], 1, lambda n: {}).admitted == 0
            config = flask_limiter(env, "config")
            for shown in ("MovingWindow", "SharedStore", "OK", "37 per 1 hour", "RateLimit (t)"):
                assert shown in config
            assert "pw" not in config
            limits = flask_limiter(env, "limits", "--endpoint", "api.ping", "--key", "127.0.0.1")
            assert "Fail (0 out of 37 remaining)" in limits
            assert flask_limiter(env, "clear", "--key", "127.0.0.1", "-y").startswith("0 ")
            limits = flask_limiter(env, "limits", "--endpoint", "api.ping", "--key", "127.0.0.1")
            assert "Pass (37 out of 37 remaining)" in limits
            assert over_http([server.port], 50, lambda n: {}).admitted == 37


def test_flask_limiter_commands_do_not_speak_of_another_process_s_memory() -> None:
    env = settings(None)
    assert "37 per 1 hour" in flask_limiter(env, "limits")
    for words in (("limits", "--key", "127.0.0.1"), ("clear", "--key", "127.0.0.1", "-y")):
        said = flask_limiter(env, *words)
        assert said.startswith("1 ")
        assert "memory:// is the server's own" in said


def check_threads(rounds: int) -> None:
    app = make_app("memory://")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for number in range(rounds):
            start = threading.Barrier(32)
            seen: list[int] = []

            def ask(number: int = number, start: threading.Barrier = start) -> None:
                base = {"REMOTE_ADDR": f"192.{number >> 8}.2.{number & 255}"}
                start.wait()
                seen.append(app.test_client().get("/a", environ_base=base).status_code)  # noqa: B023

            threads = [threading.Thread(target=ask) for _ in range(32)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert (seen.count(200), len(seen)) == (20, 32)
    finally:
        sys.setswitchinterval(interval)


def test_threads_that_switch_all_the_time_admit_the_limit() -> None:
    check_threads(rounds=20)


@pytest.mark.soak
def test_threads_that_switch_all_the_time_admit_the_limit_at_full_size() -> None:
    check_threads(rounds=400)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, so that it is its own CA; and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command: list[str | Path] = [
        require("openssl"),
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
    ]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def test_every_way_to_one_store_is_only_a_uri(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = free_port()
    options = ["--tls-port", str(tls), "--tls-cert-file", str(certificate)]
    options += ["--tls-key-file", str(key), "--tls-auth-clients", "no"]
    options += ["--unixsocket", str(tmp_path / "s"), "--requirepass", "pw"]
    with redis(*options) as store:
        here = f":pw@127.0.0.1:{store.port}"
        trust = {"ssl_ca_certs": str(certificate)}
        ways: list[tuple[str, Any]] = [
            (f"redis://{here}/1", {}),
            (f"valkey://{here}", {"decode_responses": True}),
            (f"redis://127.0.0.1:{store.port}", {"password": "pw", "protocol": 3}),
            (f"redis+unix://:pw@{tmp_path}/s", {}),
            (f"valkey+unix://:pw@{tmp_path}/s", {}),
            (f"rediss://:pw@127.0.0.1:{tls}/0", trust),
            (f"valkeys://:pw@127.0.0.1:{tls}/0", trust),
        ]
        for number, (uri, more) in enumerate(ways):
            app = make_app(uri, RATELIMIT_STORAGE_OPTIONS=more)
            assert in_process(app, 30, f"192.0.2.{number}").admitted == 20, uri
            assert state(app) == "shared", uri
        with log_lines() as lines:
            assert in_process(make_app(f"rediss://:pw@127.0.0.1:{tls}"), 5).failed == 0
        assert "certificate" in lines.texts[0]  # of nobody whom it trusts


@pytest.mark.parametrize("clients", ["no", "yes"])
def test_tls_without_a_password_is_exact_and_nothing_is_lost(tmp_path: Path, clients: str) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = free_port()
    options = ["--tls-port", str(tls), "--tls-cert-file", str(certificate)]
    options += ["--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate)]
    trust = {"ssl_ca_certs": str(certificate)}
    if clients == "yes":
        trust |= {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    with redis(*options, "--tls-auth-clients", clients), log_lines() as lines:
        uri = f"rediss://127.0.0.1:{tls}"
        config = {"RATELIMIT_STORAGE_OPTIONS": trust, "RATELIMIT_STORAGE_TIMEOUT": 5}
        apps = [make_app(uri, **config) for _ in range(4)]
        for number in range(5):
            admitted = [in_process(one, 25, f"192.0.2.{number}", threads=16) for one in apps]
            assert sum(responses.admitted for responses in admitted) == 20, lines.texts
        assert [state(one) for one in apps] == ["shared"] * 4
    assert lines.texts == []


@pytest.mark.parametrize(
    ("uri", "options", "says"),
    [
        ("redis://:p/w@host:6379", {}, "RATELIMIT_STORAGE_URI: cannot be read"),
        ("redis://:secret@host:port", {}, "RATELIMIT_STORAGE_URI: cannot be read"),
        ("redis+sentinel://:secret@host:26379", {}, "RATELIMIT_STORAGE_URI: cannot be read"),
        ("redis://host", {"socket_timout": 1}, "RATELIMIT_STORAGE_OPTIONS: .*socket_timout"),
        ("mongodb://:secret@host", {}, "the scheme 'mongodb' is not supported"),
    ],
)
def test_a_store_that_cannot_be_meant_is_refused_without_its_password(
    uri: str, options: dict[str, object], says: str
) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        make_app(uri, RATELIMIT_STORAGE_OPTIONS=options)
    assert "secret" not in str(refusal.value)


def test_several_workers_of_granian_do_not_serve_production_from_a_memory_each() -> None:
    pytest.importorskip("granian", reason="pip install granian")
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(free_port())]
    env = {**os.environ, **production_env({"FLASK_RATELIMIT_STORAGE_URI": "memory://"})}
    started = subprocess.run(
        [*command, "--workers", "2", "wsgi:app"],
        cwd=SERVICE,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "E007: granian --workers=2: each worker admits the whole limit" in started.stderr
