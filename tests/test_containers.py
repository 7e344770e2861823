"""The image and compose.yaml, run by a real engine: what they promise, and when parts fail."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import tarfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bakes import baked
from tests.engine import Engine
from tests.raw_http import read_answer
from tests.servers import free_port, until
from tests.test_deployment import status

pytestmark = pytest.mark.real

ORDER = b'{"item": "tea", "quantity": 2}'
POST = b"POST /api/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


class Composed:
    """The baked service under docker compose, on a free port."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder, self.port = engine, folder, free_port()
        self.env_file = folder / ".env"
        self.settings = self.env_file.read_text(encoding="utf-8")

    def __call__(self, *arguments: str) -> str:
        return self.engine("compose", *arguments, cwd=self.folder)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self, *arguments: str, **settings: str) -> None:
        """Start with these settings on top of the generated .env."""
        settings = {"HOST_PORT": str(self.port), **settings}
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        self.env_file.write_text(self.settings + lines, encoding="utf-8")
        self("up", "--detach", "--wait", *arguments)

    def forget(self) -> None:
        self("exec", "-T", "store", "valkey-cli", "flushall")

    def ready(self) -> dict[str, str]:
        with urllib.request.urlopen(f"{self.url}/ready", timeout=10) as response:
            found: dict[str, str] = json.load(response)
            return found


@pytest.fixture(scope="module")
def service(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """Baked and built under a umask that lets nobody else read."""
    before = os.umask(0o077)
    try:
        folder = baked(tmp_path_factory.mktemp("composed") / "out")
    finally:
        os.umask(before)
    composed = Composed(engine, folder)
    try:
        composed.up("--build")
        yield composed
    finally:
        engine.run("compose", "logs", cwd=folder)
        composed("down", "--timeout", "1", "--volumes")


@pytest.fixture(autouse=True)
def fresh(service: Composed) -> None:
    """Counters from before are forgotten."""
    service.forget()


def test_the_service_is_a_user_without_rights_in_a_container_that_cannot_be_written(
    service: Composed,
) -> None:
    said = service("exec", "-T", "service", "sh", "-c", "id -u; grep -E 'Cap|NoNew' /proc/1/status")
    assert said.splitlines()[0] == "10001"
    assert set(re.findall(r"Cap\w+:\s+(\w+)", said)) == {"0" * 16}
    assert re.search(r"NoNewPrivs:\s+1", said)
    for place in ("/", "/service", "/service/app"):
        probe = ["compose", "exec", "-T", "service", "touch", f"{place}/x"]
        refused = service.engine.run(*probe, cwd=service.folder)
        assert "Read-only file system" in refused.stderr
    assert service("exec", "-T", "service", "touch", "/tmp/x") == ""


def test_no_layer_of_the_image_has_a_secret_or_a_test(service: Composed, tmp_path: Path) -> None:
    secret = re.search(r"^FLASK_SECRET_KEY=(\S+)", service.settings, re.M)
    assert secret
    names = service("config", "--images").splitlines()
    (image,) = [name for name in names if "valkey" not in name]
    service.engine("save", "--output", str(tmp_path / "image.tar"), image)
    assert secret[1].encode() not in (tmp_path / "image.tar").read_bytes()
    found: set[str] = set()
    with tarfile.open(tmp_path / "image.tar") as layers:
        for layer in layers:
            content = layers.extractfile(layer)
            with (
                contextlib.suppress(tarfile.ReadError, ValueError),  # not a layer
                tarfile.open(fileobj=content) as files,
            ):
                found |= {name for name in files.getnames() if name.startswith("service/")}
    kinds = {name.split("/")[1] for name in found}
    expected = {"app", "serving", "gunicorn.conf.py", "wsgi.py", "requirements.txt"}
    assert kinds == expected


def test_the_bill_of_materials_has_each_package_that_the_image_has(
    service: Composed, tmp_path: Path
) -> None:
    service.engine(
        *("build", "--target", "sbom", "--output", str(tmp_path), "."), cwd=service.folder
    )
    listed = {
        (one["name"].lower(), one["version"])
        for one in json.loads((tmp_path / "sbom.json").read_bytes())["components"]
    }
    said = service("exec", "-T", "service", "pip", "list", "--format", "json")
    installed = {(one["name"].lower(), one["version"]) for one in json.loads(said)}
    assert listed == installed


def test_the_fifty_first_request_of_a_minute_is_refused(service: Composed) -> None:
    statuses = Counter(status(f"{service.url}/api/ping") for _ in range(60))
    assert statuses == {200: 50, 429: 10}


def test_while_the_store_is_stopped_or_frozen_requests_are_served_and_ready_says_so(
    service: Composed,
) -> None:
    for away, back in (("stop", "start"), ("pause", "unpause")):
        service(away, "store")
        try:
            assert status(f"{service.url}/api/ping") == 200
            until(lambda: service.ready()["status"] == "degraded", 10)
            assert status(f"{service.url}/api/ping") == 200
        finally:
            service(back, "store")
        until(lambda: status(f"{service.url}/api/ping") and service.ready()["status"] == "ok", 15)


def test_a_request_of_twelve_seconds_is_served_to_its_end_while_the_service_stops(
    service: Composed,
) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as client:
        client.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(ORDER))
        stopping = threading.Thread(target=service, args=("stop", "service"))
        for number, byte in enumerate(ORDER):
            client.sendall(bytes([byte]))
            if number == 2:
                stopping.start()
            time.sleep(12 / len(ORDER))
        assert read_answer(client).status == 201
        stopping.join()
    assert "exited (0)" in service("ps", "--all", "service").lower()
    service("start", "service")
    until(lambda: status(f"{service.url}/health") == 200)


def test_a_restarted_service_is_healthy_again(service: Composed) -> None:
    service("restart", "service")
    until(lambda: status(f"{service.url}/health") == 200)
    service("up", "--detach", "--wait")


def test_three_instances_admit_fifty_together(service: Composed) -> None:
    service.up(
        "--scale", "service=3", HOST_PORT="", WEB_CONCURRENCY="2", FLASK_RATELIMIT_WORKERS="6"
    )
    ports = [
        service("port", "--index", str(number), "service", "8000").rpartition(":")[2]
        for number in (1, 2, 3)
    ]
    assert len(set(ports)) == 3
    statuses = Counter(
        status(f"http://127.0.0.1:{ports[number % 3]}/api/ping") for number in range(90)
    )
    assert statuses == {200: 50, 429: 40}


def test_with_every_key_of_the_example_the_service_can_be_reached(service: Composed) -> None:
    text = (service.folder / ".env.example").read_text(encoding="utf-8")
    examples = dict(re.findall(r"^#([A-Z][A-Z0-9_]+)=(.*)$", text, re.M))
    away = ("FLASK_API_KEYS", "FLASK_JWT", "FLASK_RATELIMIT_STORAGE", "FLASK_SECURITY_CSP")
    given = {name: text for name, text in examples.items() if not name.startswith(away)}
    assert given.pop("BIND") == "127.0.0.1:8000" and given.pop("HOST_PORT")
    host = given["FLASK_TRUSTED_HOSTS"]
    service.up(BIND="127.0.0.1:8000", **given)
    assert status(f"{service.url}/api/ping", Host=host) == 200


def test_the_image_runs_with_the_settings_of_env_alone(service: Composed) -> None:
    names = service("config", "--images").splitlines()
    (image,) = [name for name in names if "valkey" not in name]
    port = free_port()
    # as `flask api-key` prints it, for a shell; docker keeps the quotes
    keys = """FLASK_API_KEYS='{"mobile": {"keys": ["%s"], "scopes": []}}'""" % ("ab" * 32)
    service.env_file.write_text(service.settings + f"PORT=9000\n{keys}\n", encoding="utf-8")
    options = ["--rm", "--detach", "--env-file", str(service.env_file)]
    container = service.engine("run", *options, "-p", f"127.0.0.1:{port}:9000", image)
    try:
        until(lambda: status(f"http://127.0.0.1:{port}/health") == 200)
        assert status(f"http://127.0.0.1:{port}/api/orders/1") == 401
        inspect = ["inspect", "--format", "{{.State.Health.Status}}", container]
        until(lambda: service.engine(*inspect) == "healthy")  # on that port too
    finally:
        service.engine("stop", container)
