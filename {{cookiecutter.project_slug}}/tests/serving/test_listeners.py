"""How a listening socket ends: nobody who connected is reset, nobody new is let in."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from serving.listeners import let_nobody_new_in
from serving.master import is_alone


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


@pytest.fixture(params=["127.0.0.1", *["::1"] * has_ipv6()])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as sock:
        yield sock


@contextlib.contextmanager
def connected(listener: socket.socket) -> Iterator[socket.socket]:
    with socket.socket(listener.family) as client:
        client.settimeout(0.2)
        client.connect(listener.getsockname())
        yield client


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux can leave clients without an answer"
)
def test_who_has_connected_is_served_and_who_comes_now_gets_no_answer(
    listener: socket.socket,
) -> None:
    with connected(listener) as early:
        let_nobody_new_in([listener])
        with pytest.raises(TimeoutError), connected(listener):
            pass
        server, _ = listener.accept()
        with server:
            early.sendall(b"a request")
            assert server.recv(64) == b"a request"
            server.sendall(b"a response")
        assert early.recv(64) == b"a response"
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_unix_socket_and_a_system_that_cannot_are_left_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left, right = socket.socketpair()
    with left, right:
        let_nobody_new_in([left])
        right.sendall(b"still here")
        assert left.recv(64) == b"still here"
    monkeypatch.setattr(sys, "platform", "darwin")
    let_nobody_new_in([None])  # type: ignore[list-item]  # is not touched


@pytest.mark.parametrize("of_another", ["systemd", "reexec_pid", "master_pid"])
def test_sockets_that_another_process_goes_on_with_are_left_open(of_another: str) -> None:
    alone = SimpleNamespace(systemd=False, reexec_pid=0, master_pid=0)
    assert is_alone(alone)
    setattr(alone, of_another, 4711)
    assert not is_alone(alone)
