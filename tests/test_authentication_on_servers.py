"""Authentication on real servers: guesses are counted over workers, garbage is never a 500."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import itertools
import json
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from dotenv import dotenv_values

from tests.servers import SERVICE, Server, granian, gunicorn, redis, waitress

KEYS = {name: f"{name}-" + "k" * 40 for name in ("ann", "bob")}
SCOPES = ["orders:read", "orders:write"]
CLIENTS = {
    name: {"keys": [hashlib.sha256(key.encode()).hexdigest()], "scopes": SCOPES}
    for name, key in KEYS.items()
}
FAILURES = 20
ROUTES = [
    ("GET", "/api/orders"),
    ("POST", "/api/orders"),
    ("GET", "/api/orders/1"),
    ("POST", "/api/orders/1/voucher"),  # has a limit of its own
    ("GET", "/api/orders/"),  # a redirect
    ("DELETE", "/api/orders"),  # 405
    ("OPTIONS", "/api/orders"),
    ("GET", "/static/none.css"),
    *(("GET", f"/unknown/{number}") for number in range(12)),
]


def settings(**config: object) -> dict[str, str]:
    return {
        "FLASK_API_KEYS": json.dumps(CLIENTS),
        "FLASK_API_KEY_FAILURES": f"{FAILURES} per hour",
        "FLASK_RATELIMIT_DEFAULT": "100000 per minute",  # what is measured are the failures
        "FLASK_TRUSTED_PROXIES": "1",
        **{f"FLASK_{name}": str(value) for name, value in config.items()},
    }


def ask(
    server: Server, address: str, key: str, method: str = "GET", path: str = "/api/orders"
) -> int:
    """The status for one request, on a connection of its own so that any worker may get it."""
    headers = {"X-API-Key": key, "X-Forwarded-For": address}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers)
        return connection.getresponse().status


def guess(server: Server, address: str, guesses: int) -> Counter[int]:
    """So many different wrong keys from one address over all routes, eight at a time."""
    routes = itertools.islice(itertools.cycle(ROUTES), guesses)
    with ThreadPoolExecutor(8) as threads:
        found = [
            threads.submit(ask, server, address, f"{number:043}", *route)
            for number, route in enumerate(routes)
        ]
    return Counter(future.result() for future in found)


def events(path: Path) -> Counter[str]:
    """The security log by reason; one "unknown_credential" is one comparison that failed."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return Counter(line.get("reason") or line["event"] for line in lines)


def test_guesses_over_all_routes_and_workers_are_limited_and_others_are_not(
    tmp_path: Path,
) -> None:
    log = tmp_path / "security.log"
    with redis() as store:
        env = settings(
            RATELIMIT_STORAGE_URI=f"redis://127.0.0.1:{store.port}/0", SECURITY_LOG_FILE=log
        )
        with gunicorn(SERVICE, "--workers", "2", "--threads", "4", env=env) as server:
            assert ask(server, "192.0.2.1", KEYS["ann"]) == 200
            stop, right = threading.Event(), Counter[int]()

            def keep_asking() -> None:
                while not stop.is_set():
                    right[ask(server, "192.0.2.2", KEYS["bob"])] += 1

            other = threading.Thread(target=keep_asking)
            other.start()
            found = guess(server, "192.0.2.1", guesses=1000)
            stop.set()
            other.join()

            # the voucher's own limit (5 per minute) refuses some before they are looked at
            assert found[401] == FAILURES
            assert found[429] == 1000 - FAILURES
            assert set(right) == {200}
            for _ in range(8):  # on either worker
                assert ask(server, "192.0.2.1", KEYS["ann"]) == 200
                assert ask(server, "192.0.2.1", KEYS["bob"]) == 429
    assert events(log)["unknown_credential"] == FAILURES
    assert not any(key in log.read_text(encoding="utf-8") for key in KEYS.values())


def test_right_keys_from_one_address_use_up_nothing_over_all_workers() -> None:
    keys = [f"{number:043}" for number in range(24)]
    clients = {key: {"keys": [hashlib.sha256(key.encode()).hexdigest()]} for key in keys}
    with redis() as store:
        env = settings(
            API_KEYS=json.dumps(clients),
            API_KEY_FAILURES="2 per hour",
            RATELIMIT_STORAGE_URI=f"redis://127.0.0.1:{store.port}/0",
        )
        with gunicorn(SERVICE, "--workers", "2", "--threads", "4", env=env) as server:
            right = Counter(ask(server, "192.0.2.1", key, path="/unknown") for key in keys)
            wrong = [ask(server, "192.0.2.1", "x" * 40) for _ in range(4)]
    assert right == {404: 24}
    assert wrong == [401, 401, 429, 429]


def test_an_office_gets_to_work_at_nine_with_a_guesser_among_them() -> None:
    desks = [f"apikey_desk-{number}_{secrets.token_urlsafe(32)}" for number in range(200)]
    clients = {
        f"desk-{number}": {"keys": [hashlib.sha256(key.encode()).hexdigest()], "scopes": SCOPES}
        for number, key in enumerate(desks)
    }
    with redis() as store:
        env = settings(
            API_KEYS=json.dumps(clients), RATELIMIT_STORAGE_URI=f"redis://127.0.0.1:{store.port}/0"
        )
        with gunicorn(SERVICE, "--workers", "4", "--threads", "2", env=env) as server:
            guessed, stop = Counter[int](), threading.Event()

            def keep_guessing() -> None:
                while not stop.is_set():
                    guessed[ask(server, "192.0.2.1", secrets.token_urlsafe(32))] += 1

            guesser = threading.Thread(target=keep_guessing)
            guesser.start()
            while not guessed[429]:  # all places are taken
                time.sleep(0.01)
            with ThreadPoolExecutor(8) as threads:
                arrived = Counter(threads.map(lambda key: ask(server, "192.0.2.1", key), desks))
            stop.set()
            guesser.join()
    assert arrived == {200: 200}
    assert guessed[401] == FAILURES


def test_one_process_counts_in_its_own_memory() -> None:
    with gunicorn(SERVICE, "--workers", "1", "--threads", "8", env=settings()) as server:
        found = guess(server, "192.0.2.1", guesses=200)
        assert (found[401], found[429]) == (FAILURES, 200 - FAILURES)
        assert ask(server, "192.0.2.2", KEYS["ann"]) == 200


GARBAGE = [
    b"X-API-Key:\r\n",
    b"X-API-Key: short\r\n",
    b"X-API-Key: " + b"\xff\xfe\xe9" * 20 + b"\r\n",
    b"X-API-Key: " + "\u00e9".encode() * 40 + b"\r\n",
    b"X-API-Key: " + b"x" * 7000 + b"\r\n",
    b"X-API-Key: " + b"a" * 40 + b"\r\nX-API-Key: " + b"b" * 40 + b"\r\n",
    b"X_API_Key: " + KEYS["ann"].encode() + b"a\r\n",
    b"Authorization:\r\n",
    b"Authorization: Bearer\r\n",
    b"Authorization: Bearer \xe9\xff" + b"\x80" * 60 + b"\r\n",
    b"Authorization: Basic \xff\xff\xff\r\n",
    b'Authorization: Digest username="\xe9", realm=\r\n',
    b"Authorization: Bearer " + b"." * 60 + b"\r\n",
    b"Authorization: Bearer a\r\nAuthorization: Bearer " + KEYS["ann"].encode() + b"\r\n",
    b"Authorization: \t\tBearer\t\r\n",
    b"Authorization: Bearer " + b"a" * 40 + b"\r\nX-API-Key: " + b"b" * 40 + b"\r\n",
]

Start = Callable[..., AbstractContextManager[Server]]


@pytest.mark.parametrize("start", [gunicorn, waitress, granian])
def test_garbage_for_a_credential_is_refused_and_never_a_500(start: Start) -> None:
    if start is granian:
        pytest.importorskip("granian", reason="pip install granian")
    with start(SERVICE, env=settings(API_KEY_FAILURES="1000 per hour")) as server:
        statuses = {garbage: raw_status(server, garbage) for garbage in GARBAGE}
        assert {g: s for g, s in statuses.items() if s not in (400, 401)} == {}
        assert ask(server, "192.0.2.2", KEYS["ann"]) == 200


def raw_status(server: Server, headers: bytes) -> int:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        head = b"GET /api/orders HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        connection.sendall(head + headers + b"\r\n")
        with connection.makefile("rb") as response:
            return int(response.readline().split()[1])


def test_a_key_from_the_command_works_from_dotenv_and_from_a_shell(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flask", "api-key", "mobile", "--scope", "orders:read"]
    made = subprocess.run(command, cwd=SERVICE, capture_output=True, text=True, check=True)
    key, line = made.stdout.splitlines()
    (tmp_path / ".env").write_text(line + "\n", encoding="utf-8")
    from_shell = subprocess.run(
        ["sh", "-c", '. ./.env; printf %s "$FLASK_API_KEYS"'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert dotenv_values(tmp_path / ".env")["FLASK_API_KEYS"] == from_shell
    with waitress(SERVICE, env={"FLASK_API_KEYS": from_shell}) as server:
        assert ask(server, "192.0.2.1", key) == 200
        assert ask(server, "192.0.2.1", key[:-1] + "!") == 401


def test_keys_are_not_an_accident_of_an_empty_variable() -> None:
    with pytest.raises(RuntimeError, match="API_KEYS: is not a mapping"):
        waitress(SERVICE, env={"FLASK_API_KEYS": ""})


def test_signed_tokens_are_configured_by_the_environment_alone(tmp_path: Path) -> None:
    jwt = pytest.importorskip("jwt", reason='pip install "PyJWT[crypto]>=2.12,<3"')
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    public = jwt.algorithms.ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [public]}), encoding="utf-8")
    claims: dict[str, object] = {"iss": "https://login.example.com", "aud": "orders", "sub": "ann"}
    claims |= {"exp": int(time.time()) + 60, "scope": "orders:read"}
    env = {
        "FLASK_JWT_JWKS": str(tmp_path / "jwks.json"),
        "FLASK_JWT_ISSUER": "https://login.example.com",
        "FLASK_JWT_AUDIENCE": "orders",
    }
    with waitress(SERVICE, env=env) as server:
        for change, status in (({}, 200), ({"scope": ""}, 403), ({"aud": "billing"}, 401)):
            token = jwt.encode({**claims, **change}, private, "ES256")
            assert bearer_status(server, token) == status
        assert bearer_status(server, jwt.encode(claims, None, "none")) == 401


def test_a_thousand_expired_tokens_from_one_address_keep_no_valid_one_out(tmp_path: Path) -> None:
    jwt = pytest.importorskip("jwt", reason='pip install "PyJWT[crypto]>=2.12,<3"')
    from cryptography.hazmat.primitives.asymmetric import ec

    private, foreign = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    public = jwt.algorithms.ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [public]}), encoding="utf-8")

    def token(key: object, **claims: object) -> str:
        fixed = {"iss": "https://login.example.com", "aud": "orders", "sub": "ann"}
        return str(jwt.encode({**fixed, "scope": "orders:read", **claims}, key, "ES256"))

    now = int(time.time())
    with redis() as store:
        env = {
            "FLASK_JWT_JWKS": str(tmp_path / "jwks.json"),
            "FLASK_JWT_ISSUER": "https://login.example.com",
            "FLASK_JWT_AUDIENCE": "orders",
            "FLASK_RATELIMIT_DEFAULT": "100000 per minute",
            "FLASK_RATELIMIT_STORAGE_URI": f"redis://127.0.0.1:{store.port}/0",
        }
        with gunicorn(SERVICE, "--workers", "2", "--threads", "4", env=env) as server:
            expired, forged = token(private, exp=now - 300), token(foreign, exp=now + 300)
            with ThreadPoolExecutor(8) as threads:
                found = Counter(threads.map(lambda _: bearer_status(server, expired), range(1000)))
            assert found == {401: 1000}
            assert bearer_status(server, token(private, exp=now + 300)) == 200
            found = Counter(bearer_status(server, forged) for _ in range(30))
            assert found == {401: 20, 429: 10}
            for number in range(8):
                fresh = token(private, exp=now + 300, sub=f"user-{number}")
                assert bearer_status(server, fresh) == 200


def bearer_status(server: Server, token: str) -> int:
    return raw_status(server, f"Authorization: Bearer {token}\r\n".encode())
