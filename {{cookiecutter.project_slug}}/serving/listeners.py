"""How a listening socket ends without resetting a client.

A client that connects between a worker's last accept and the close of the socket is reset by the
kernel, with its request. So the kernel is told first to leave new clients without an answer: they
try again after a second, and meet whoever listens by then, or are refused.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys
import time
from collections.abc import Iterable

SO_ATTACH_FILTER = 26  # socket(7); Python has no name for it
# Classic BPF on the TCP header (RFC 9293, 3.1): drop what has SYN, pass the rest
PASS_ALL_BUT_SYN = [
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x45, 1, 0, 0x02),  # SYN: skip one
    (0x06, 0, 0, 0xFFFFFFFF),  # pass all of it
    (0x06, 0, 0, 0),  # drop it
]
HANDSHAKE = 0.1  # seconds in which a client that has begun to connect ends it


def let_nobody_new_in(listeners: Iterable[socket.socket]) -> None:
    """Leave new clients without an answer, whichever process has these sockets, and for good.

    Does nothing to Unix sockets, and where the system cannot (only Linux can).
    """
    if sys.platform != "linux":
        return
    program = b"".join(struct.pack("HBBI", *step) for step in PASS_ALL_BUT_SYN)
    buffer = ctypes.create_string_buffer(program, len(program))
    option = struct.pack("HP", len(PASS_ALL_BUT_SYN), ctypes.addressof(buffer))
    for listener in listeners:
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):
                listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, option)
    time.sleep(HANDSHAKE)
