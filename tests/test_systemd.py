"""deploy/systemd.service and deploy/nginx.conf on a machine with systemd."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bakes import baked
from tests.engine import Engine
from tests.loads import Load
from tests.servers import free_port, until
from tests.test_containers import ORDER, POST
from tests.test_deployment import status

pytestmark = pytest.mark.real

MACHINE = """
FROM python:3.13-slim
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends nginx-light procps systemd
WORKDIR /srv/flask-service
COPY requirements.txt .
RUN python3 -m venv .venv && .venv/bin/pip install --quiet --require-hashes -r requirements.txt
COPY . .
RUN chmod -R go+rX . && cp deploy/systemd.service /etc/systemd/system/flask-service.service \\
    && cp deploy/nginx.conf /etc/nginx/conf.d/flask-service.conf && rm .env \\
    && rm -f /etc/nginx/sites-enabled/default && systemctl enable flask-service
RUN printf '%s\\n' FLASK_SECRET_KEY=a-secret-of-these-tests-that-nobody-guesses \\
    FLASK_TRUSTED_PROXIES=1 FLASK_RATELIMIT_ENABLED=false WEB_CONCURRENCY=2 \\
    FLASK_SECURITY_LOG_FILE=/var/log/flask-service/security.log > /etc/flask-service.env \\
    && chmod 600 /etc/flask-service.env
"""
LEGACY = ["systemd.unified_cgroup_hierarchy=0", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]


class Machine:
    def __init__(self, engine: Engine, folder: Path) -> None:
        (folder / "Machine").write_text(MACHINE, encoding="ascii")
        (folder / "Machine.dockerignore").write_text("**/__pycache__\n", encoding="ascii")
        engine("build", "--file", "Machine", "--tag", "machine-with-service", ".", cwd=folder)
        self.port, self.engine = free_port(), engine
        options = ["--privileged", "--cgroupns=private", "--tmpfs=/run", "--tmpfs=/tmp"]
        options += ["--rm", "--detach", "--publish", f"127.0.0.1:{self.port}:80"]
        legacy = LEGACY if not Path("/sys/fs/cgroup/cgroup.controllers").exists() else []
        image = ["machine-with-service", "/lib/systemd/systemd"]
        self.container = engine("run", *options, *image, *legacy)

    def __call__(self, *command: str) -> str:
        return self.engine("exec", self.container, *command)

    def said(self) -> str:
        return self("journalctl", "--unit=flask-service", "--output=cat", "--no-pager")

    def lines_of(self, path: str) -> list[dict[str, object]]:
        """The lines of the requests for this path."""
        lines = [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("path") == path]


@pytest.fixture(scope="module")
def machine(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = baked(tmp_path_factory.mktemp("machine") / "out")
    started = Machine(engine, folder)
    try:
        until(lambda: status(f"http://127.0.0.1:{started.port}/health") == 200)
        yield started
    finally:
        engine("rm", "--force", started.container)


def test_the_unit_is_hardened_and_the_service_writes_one_json_line_per_request(
    machine: Machine,
) -> None:
    judged = machine("systemd-analyze", "security", "flask-service", "--no-pager")
    found = re.search(r"Overall exposure level for flask-service.service: ([\d.]+)", judged)
    assert found and float(found[1]) <= 1.5
    assert status(f"http://127.0.0.1:{machine.port}/api/ping") == 200
    until(lambda: machine.lines_of("/api/ping"))  # the journal has it a moment later
    (line,) = machine.lines_of("/api/ping")
    assert line["status"] == 200
    assert line["remote_addr"] != "127.0.0.1"  # nginx said who asks
    assert machine("cat", "/var/log/flask-service/security.log") == ""


def test_a_reload_of_the_unit_loses_nothing(machine: Machine) -> None:
    load = Load(machine.port, 1500)
    with load.running():
        for share in (0.2, 0.6):
            load.half_way(share)
            machine("systemctl", "reload", "flask-service")
    assert (load.lost, load.refused) == ([], 0)
    assert set(load.statuses) == {200, 201}


def test_a_stop_waits_for_the_request_in_flight(machine: Machine) -> None:
    slow = (
        "import socket, threading, time; s = socket.create_connection(('127.0.0.1', 8000)); "
        f"s.sendall({POST!r} + b'Content-Length: {len(ORDER)}\\r\\n\\r\\n'); time.sleep(3); "
        f"s.sendall({ORDER!r}); print(s.recv(100)[:12])"
    )
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(machine("python3", "-c", slow)))
    asking.start()
    time.sleep(1)
    machine("systemctl", "stop", "flask-service")
    asking.join()
    assert answers == ["b'HTTP/1.1 201'"]
    machine("systemctl", "start", "flask-service")


def test_settings_that_cannot_be_read_are_one_line_and_no_restart(machine: Machine) -> None:
    until(lambda: status(f"http://127.0.0.1:{machine.port}/health") == 200)
    # both workers, none of which is still to read .env
    until(lambda: machine.said().rpartition("Starting gunicorn")[2].count("Worker serving") == 2)
    machine("sh", "-c", "umask 077; echo FLASK_LOG_LEVEL=DEBUG > /srv/flask-service/.env")
    before = len(machine.said().splitlines())
    failed = machine.engine.run("exec", machine.container, "systemctl", "restart", "flask-service")
    try:
        assert failed.returncode != 0
        said = machine.said().splitlines()[before:]
        assert [line for line in said if line.startswith(".env: cannot be read by user")]
        assert not any("Traceback" in line for line in said), "\n".join(said)
        shown = machine("systemctl", "show", "flask-service", "--property=NRestarts,ExecMainStatus")
        assert set(shown.split()) == {"NRestarts=0", "ExecMainStatus=78"}
    finally:
        machine("rm", "/srv/flask-service/.env")
        machine("systemctl", "start", "flask-service")
