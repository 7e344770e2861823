"""Metrics on real servers: equal to the log over workers that come and go, and nobody else's."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import random
import shutil
import signal
import stat
import string
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.metrics import ON, REQUESTS, folders, scrape, series, values
from tests.servers import SERVICE, Server, free_port, granian, gunicorn, nginx, until
from tests.test_deployment import NGINX

KEY = "a-key-for-tests-0123456789abcdefghij"
POOR = "another-key-for-tests-9z8y7x6w5v4u3t2s"
SCOPES = ["orders:read", "orders:write"]
WITH_KEY = {"X-API-Key": KEY, "Content-Type": "application/json"}
ORDER = '{"item": "tea", "quantity": 2}'


MIXED: list[tuple[str, str, dict[str, str], str]] = [
    ("GET", "/api/ping", {}, ""),
    ("GET", "/api/ping", {"Origin": "https://evil.example"}, ""),
    ("HEAD", "/health", {}, ""),
    ("GET", "/ready", {"Host": "evil.example"}, ""),
    ("GET", "/api/orders", WITH_KEY, ""),
    ("GET", "/api/orders", {"X-API-Key": POOR}, ""),
    ("GET", "/api/orders", {}, ""),
    ("GET", "/api/orders", {"X-API-Key": "x" * 40}, ""),
    ("POST", "/api/orders", WITH_KEY, ORDER),
    ("POST", "/api/orders", WITH_KEY, "{"),
    ("POST", "/api/orders", WITH_KEY, "x" * 20_000),
    ("POST", "/api/orders", {**WITH_KEY, "Sec-Fetch-Site": "cross-site"}, ORDER),
    ("POST", "/api/orders/1/voucher", WITH_KEY, ""),
    ("GET", "/api/orders/7", WITH_KEY, ""),
    ("GET", "/api/ping", {"User-Agent": "sqlmap/1.8"}, ""),
    ("GET", "/nowhere", WITH_KEY, ""),
    ("GET", "/metrics", {"Authorization": "Bearer wrong"}, ""),
    ("PUT", "/api/ping", WITH_KEY, ""),
    ("FROB", "/api/ping", WITH_KEY, ""),
    (
        "OPTIONS",
        "/api/orders",
        {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"},
        "",
    ),
    ("GET", "/api/ping", {"Expect": "the unexpected"}, ""),
]
SETTINGS = {
    **ON,
    "FLASK_LOG_SKIP": "[]",
    "FLASK_TRUSTED_HOSTS": "localhost,127.0.0.1",
    "FLASK_CORS_ORIGINS": "https://app.example.com",
    "FLASK_BLOCKED_USER_AGENTS": "sqlmap",
    "FLASK_MAX_CONTENT_LENGTH": "10000",
    "FLASK_API_KEYS": json.dumps(
        {
            "rich": {"keys": [sha256(KEY.encode()).hexdigest()], "scopes": SCOPES},
            "poor": {"keys": [sha256(POOR.encode()).hexdigest()], "scopes": []},
        }
    ),
    "FLASK_RATELIMIT_DEFAULT": "40 per second",
    "WEB_CONCURRENCY": "4",
}
SLOW = """
import time
from flask import Flask
from app.middleware.metrics import configure_metrics

app = Flask("slow")
app.config.from_prefixed_env()
configure_metrics(app)
app.add_url_rule("/tea", "tea", lambda: "tea")
app.add_url_rule("/slow", "slow", lambda: time.sleep(60))
"""


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """One after another, whichever process runs them: they look at the folders of all services."""
    with open(Path(tempfile.gettempdir()) / "tests-of-metrics.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ask(port: int, method: str, path: str, headers: dict[str, str], body: str = "") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body or None, headers)
        with connection.getresponse() as response:
            response.read()
            return response.status
    finally:
        connection.close()


class Load:
    """So many requests of all kinds, from eight clients."""

    def __init__(self, port: int, number: int) -> None:
        self.port, self.number = port, number
        self.left = iter(range(number))
        self.lock = threading.Lock()
        self.sent = 0
        self.clients = [threading.Thread(target=self.client) for _ in range(8)]
        for client in self.clients:
            client.start()

    def client(self) -> None:
        while True:
            with self.lock:
                n = next(self.left, None)
                self.sent += 1
            if n is None:
                return
            ask(self.port, *MIXED[n % len(MIXED)])

    def end(self) -> None:
        for client in self.clients:
            client.join()


def workers_of(server: Server) -> list[int]:
    command = ["pgrep", "-P", str(server.process.pid)]
    return [int(pid) for pid in subprocess.run(command, capture_output=True).stdout.split()]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# -- the log's counts ------------------------------------------------------------------------------


def rules() -> dict[str | None, str]:
    code = (
        "import json; from app import create_app;"
        "rules = create_app('testing').url_map.iter_rules();"
        "print(json.dumps({rule.endpoint: rule.rule for rule in rules}))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=SERVICE, capture_output=True, check=True
    )
    found: dict[str | None, str] = json.loads(said.stdout)
    return found


def check_equal_to_the_log(number: int, folder: Path) -> None:
    log, security = folder / "requests.log", folder / "security.log"
    env = {**SETTINGS, "FLASK_LOG_FILE": str(log), "FLASK_SECURITY_LOG_FILE": str(security)}
    with servers.redis() as store:
        env["FLASK_RATELIMIT_STORAGE_URI"] = f"redis://127.0.0.1:{store.port}/0"
        with gunicorn(env=env) as server:
            load = Load(server.port, number)
            until(lambda: load.sent > number // 3, 120)
            os.kill(workers_of(server)[0], signal.SIGTERM)
            until(lambda: load.sent > number * 2 // 3, 120)
            os.kill(server.process.pid, signal.SIGHUP)
            load.end()
            until(lambda: log.read_text("utf-8").count("request_completed") >= number)
            until(lambda: sum(values(scrape(server.port), REQUESTS).values()) >= number)
            text = scrape(server.port)
    by_endpoint = rules()
    logged = Counter(
        (method, by_endpoint.get(line["endpoint"], "(no route)"), f"{line['status'] // 100}xx")
        for line in lines_of(log)
        if line["message"] == "request_completed"
        if (line["path"], line["status"]) != ("/metrics", 200)  # reading them does not count
        for method in [line["method"] if line["method"] != "FROB" else "OTHER"]
    )
    assert values(text, REQUESTS) == logged
    assert sum(logged.values()) == number
    refused = values(text, "http_requests_refused_total")
    assert refused.pop(("origin_refused",)) == len(range(1, number, len(MIXED)))
    assert refused == Counter((line["event"],) for line in lines_of(security) if "event" in line)
    assert len(refused) == 8
    assert values(text, "http_requests_in_flight") == {}
    assert values(text, "rate_limit_store_up") == {(): 1}


def test_metrics_equal_the_log_while_workers_come_and_go(tmp_path: Path) -> None:
    check_equal_to_the_log(1000, tmp_path)


@pytest.mark.soak
def test_metrics_equal_the_log_after_20_000_requests_and_two_restarts(tmp_path: Path) -> None:
    check_equal_to_the_log(20_000, tmp_path)


# -- workers that end ------------------------------------------------------------------------------


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Server]:
    """With gunicorn.conf.py, which makes the folder, and two workers."""
    (tmp_path / "slow.py").write_text(SLOW, "ascii")
    options = ["--config", str(SERVICE / "gunicorn.conf.py"), "--timeout", "3"]
    with gunicorn(tmp_path, *options, "--workers", "2", target="slow:app", env=ON) as server:
        yield server


def test_what_a_killed_worker_has_counted_stays_and_what_it_had_in_flight_does_not(
    slow: Server,
) -> None:
    for _ in range(20):
        ask(slow.port, "GET", "/tea", {})
    until(lambda: values(scrape(slow.port), REQUESTS) == {("GET", "/tea", "2xx"): 20})
    with Unanswered(slow.port, "/slow"), Unanswered(slow.port, "/slow"):
        until(lambda: values(scrape(slow.port), "http_requests_in_flight") == {(): 2})
        for pid in workers_of(slow):
            os.kill(pid, signal.SIGKILL)
        until(lambda: values(scrape(slow.port), "http_requests_in_flight") == {})
    assert values(scrape(slow.port), REQUESTS) == {("GET", "/tea", "2xx"): 20}


@pytest.mark.parametrize("options", [(), ("--preload",)])
def test_a_worker_goes_on_in_the_files_of_one_that_ended(options: tuple[str, ...]) -> None:
    """Files that piled up would slow each scrape, and fill the memory that they are in."""
    before = folders()
    with gunicorn(SERVICE, *options, "--workers", "1", env=ON) as server:
        (folder,) = folders() - before
        for number in range(1, 6):
            assert ask(server.port, "GET", "/api/ping", {}) == 200
            counted = {("GET", "/api/ping", "2xx"): number}
            until(lambda: values(scrape(server.port), REQUESTS) == counted)  # noqa: B023
            (worker,) = workers_of(server)
            os.kill(worker, signal.SIGKILL if number % 2 else signal.SIGTERM)
            until(lambda: workers_of(server) not in ([], [worker]))  # noqa: B023
        until(lambda: values(scrape(server.port), REQUESTS) == counted)
        masters = f"_{server.process.pid}"  # with --preload
        names = [path.stem for path in folder.iterdir() if not path.stem.endswith(masters)]
        assert set(names) <= {"counter_worker0", "gauge_livesum_worker0", "histogram_worker0"}


def test_workers_start_although_somebody_has_removed_the_folder() -> None:
    """systemd does, when a person logs out whose name the service has (RemoveIPC)."""
    before = folders()
    with gunicorn(SERVICE, "--workers", "1", env=ON) as server:
        assert ask(server.port, "GET", "/api/ping", {}) == 200
        (folder,) = folders() - before
        shutil.rmtree(folder)
        (worker,) = workers_of(server)
        os.kill(worker, signal.SIGTERM)
        until(lambda: workers_of(server) not in ([], [worker]))
        assert ask(server.port, "GET", "/api/ping", {}) == 200
        counted = {("GET", "/api/ping", "2xx"): 1}
        until(lambda: values(scrape(server.port), REQUESTS) == counted)


def test_the_folder_of_a_daemon_is_gone_with_it_too(tmp_path: Path) -> None:
    before, port, pid = folders(), free_port(), tmp_path / "pid"
    command = [sys.executable, "-m", "gunicorn", "--daemon", "--pid", str(pid), "wsgi:app"]
    env = {**os.environ, **servers.production_env(ON), "BIND": f"127.0.0.1:{port}"}
    subprocess.run(command, cwd=SERVICE, env=env, check=True)
    try:
        until(lambda: scrape(port))
        assert folders() - before
    finally:
        os.kill(int(pid.read_text()), signal.SIGTERM)
    until(lambda: folders() == before)


class Unanswered:
    """A request whose response nobody waits for."""

    def __init__(self, port: int, path: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.request("GET", path)

    def __enter__(self) -> None:
        """It is on its way."""

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def test_the_folder_is_the_masters_alone_and_gone_with_it() -> None:
    before = folders()
    with gunicorn(env=ON) as server:
        (folder,) = folders() - before
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        os.kill(server.process.pid, signal.SIGHUP)
        until(lambda: len(list(folder.glob("counter_*.db"))) > 1)
        assert folders() - before == {folder}
    assert folders() == before


def test_without_a_token_there_is_no_folder_and_nothing_at_its_path() -> None:
    before = folders()
    with gunicorn() as server:
        assert ask(server.port, "GET", "/metrics", {}) == 404
        assert folders() == before


def test_what_an_earlier_master_left_behind_never_counts(tmp_path: Path) -> None:
    before = folders()
    with gunicorn(env=ON) as server:
        ask(server.port, "GET", "/api/ping", {})
        until(lambda: values(scrape(server.port), REQUESTS))
        (left,) = folders() - before
        shutil.copytree(left, tmp_path / "left")
    with gunicorn(env={**ON, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "left")}) as server:
        assert values(scrape(server.port), REQUESTS) == {}


def test_an_application_that_the_master_has_loaded_counts_in_its_workers() -> None:
    with gunicorn(SERVICE, "--preload", env=ON) as server:
        for _ in range(3):
            ask(server.port, "GET", "/api/ping", {})
        until(lambda: values(scrape(server.port), REQUESTS) == {("GET", "/api/ping", "2xx"): 3})


def test_workers_of_granian_count_together_in_a_folder_that_is_named(tmp_path: Path) -> None:
    env = {**ON, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "FLASK_RATELIMIT_ENABLED": "false"}
    options = ["--workers", "3", "--respawn-failed-workers"]
    with granian(SERVICE, *options, env=env) as server:
        for number in (60, 120):
            for _ in range(60):
                ask(server.port, "GET", "/api/ping", {})
            said = {("GET", "/api/ping", "2xx"): number}
            until(lambda: values(scrape(server.port), REQUESTS) == said)  # noqa: B023
            counted = [int(path.stem.rpartition("_")[2]) for path in tmp_path.glob("histogram_*")]
            # the oldest: Granian gives up where one dies soon after it was started
            oldest = Path(f"/proc/{min(pid for pid in counted if Path(f'/proc/{pid}').exists())}")
            os.kill(int(oldest.name), signal.SIGKILL)
            until(lambda: not oldest.exists())  # noqa: B023
            until(lambda: scrape(server.port))


# -- strangers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("proxies", ["0", "1"])
def test_a_stranger_behind_nginx_on_this_machine_reads_nothing(
    proxies: str, tmp_path: Path
) -> None:
    """Whatever nginx tells the service, or forgets to: its own address is 127.0.0.1."""
    env = {**ON, "FLASK_TRUSTED_PROXIES": proxies}
    with gunicorn(env=env) as server:
        for name, config in (("ours", NGINX), ("bare", BARE)):
            port = free_port()
            config = config.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
            config = config.replace("listen 80;", f"listen 127.0.0.1:{port};")
            (tmp_path / name).mkdir()
            with nginx(config, port, tmp_path / name):
                for forged in ({}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Real-IP": "127.0.0.1"}):
                    assert ask(port, "GET", "/metrics", dict(forged)) == 404
                assert "http_requests_in_flight" in scrape(port)


BARE = "server { listen 80; location / { proxy_pass http://127.0.0.1:8000; } }"


def check_labels(number: int) -> None:
    signs = random.Random(13)
    env = {**SETTINGS, "FLASK_LOG_FILE": os.devnull, "FLASK_RATELIMIT_ENABLED": "false"}
    with gunicorn(env={**env, "WEB_CONCURRENCY": "2"}) as server:
        for kind in MIXED:
            ask(server.port, *kind)
        until(lambda: sum(values(scrape(server.port), REQUESTS).values()) == len(MIXED))
        before = series(scrape(server.port))
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for n in range(number):
            method = "".join(signs.choices(string.ascii_uppercase, k=signs.randint(3, 20)))
            path = "/" + "".join(signs.choices("abc%20%0A%22%7B/.;", k=20)) + str(n)
            connection.putrequest(method, path, skip_host=True)
            connection.putheader("Host", f"host-{n}.example")
            connection.endheaders()
            connection.getresponse().read()
        connection.close()
        total = number + len(MIXED)
        until(lambda: sum(values(scrape(server.port), REQUESTS).values()) >= total)
        text = scrape(server.port)
    assert sum(values(text, REQUESTS).values()) == total
    not_routed = ("http_request_duration_seconds", "OTHER", "(no route)", "4xx")
    assert series(text) - before <= {not_routed}
    assert len(text) < 200_000


def test_hostile_paths_methods_and_hosts_add_no_label() -> None:
    check_labels(500)


@pytest.mark.soak
def test_10_000_hostile_paths_methods_and_hosts_add_no_label() -> None:
    check_labels(10_000)
