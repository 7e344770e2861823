"""A gunicorn worker whose threads never wait for a slow client, and that loses no request.

gunicorn's own threaded worker gives a thread to a connection as soon as its first byte is there;
four clients that send a byte now and then stop it. This one collects each request first, all of
them in one loop, and hangs up on whoever is slower than the pace. Besides,

- for bodies that are streamed or large half of the threads may wait: the others serve;
- a worker with more connections than another lets the other accept;
- one that stops takes what has been connected already, and waits for no client to hang up.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from gunicorn.http.errors import NoMoreData
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from serving import refusals, shared
from serving.connections import Connection, Waiting
from serving.request import MOST_HEAD, Arriving, Bounds, PacedUnreader
from serving.turns import Turns

LINGER = 2.0  # seconds for a client to see the end of a response before the connection is closed
MOST_HELD = 64 * 1024 * 1024  # bytes of requests that are not yet served, in one worker


class PatientWorker(ThreadWorker):
    """gunicorn's threads, fed with whole requests.

    bounds: how slow a client may be; gunicorn.conf.py sets it.
    """

    bounds = Bounds()
    _waiting: Waiting

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shared.takes_no_more(self.age)  # until it runs
        self._open = 0  # connections, but for those that end
        self._free_to_stream = max(1, self.cfg.threads // 2)  # threads that may wait
        self._turns = Turns()

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        if cfg.is_ssl or cfg.protocol != "http" or "h2" in cfg.http_protocols:
            raise SystemExit(
                "serving/worker.py speaks HTTP/1.1 without TLS: leave TLS and HTTP/2 to a proxy in "
                "front, or choose another worker, for example --worker-class gthread"
            )
        super().check_config(cfg, log)

    def load_wsgi(self) -> None:
        super().load_wsgi()
        application: Any = self.app.callable
        largest = getattr(application, "config", {}).get("MAX_CONTENT_LENGTH")
        line, body = self.cfg.limit_request_line or MOST_HEAD, self.bounds.body
        body = body if largest is None else min(body, largest)  # more is refused without waiting
        self.bounds = replace(self.bounds, line=line, body=body)

        def wsgi(environ: dict[str, Any], start_response: Any) -> Any:
            if shared.is_draining():
                environ["service.draining"] = True  # /ready says it to load balancers
            return application(environ, start_response)

        self.wsgi = wsgi

    # -- connections come

    def accept(self, listener: Any) -> None:
        if self._turns.lets_another(self._open):
            self.set_accept_enabled(False)
            return
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            self._take_from(listener)

    def _take_from(self, listener: Any) -> None:
        """
        :raises BlockingIOError: if no client waits.
        """
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._hang_up_on_the_longest()
            raise BlockingIOError("no file descriptor is free") from error
        conn = Connection(self.cfg, sock, client, listener.getsockname())
        seconds = struct.pack("ll", int(self.bounds.seconds), int(self.bounds.seconds % 1 * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
        self.nr_conns += 1
        self._count(1)
        self._expect_request(conn, self.bounds.seconds)
        self._receive(conn)

    def set_accept_enabled(self, enabled: bool) -> None:
        enabled = enabled and self.alive and self._turns.may_end_the_pause(self._open)
        super().set_accept_enabled(enabled)
        if not self.alive:
            self._take_the_last()

    def _take_the_last(self) -> None:
        """Take who has connected already, then listen no more: new workers do, or nobody does."""
        shared.takes_no_more(self.age)
        for listener in self.sockets:
            with contextlib.suppress(OSError, AttributeError):  # it is closed already
                while True:
                    self._take_from(listener)
            listener.close()

    def _count(self, change: int) -> None:
        """Tell the other workers how many connections this one has, but for those that end."""
        self._open += change
        if self.alive:
            shared.has_connections(self.age, self._open)

    # -- requests arrive

    def _expect_request(self, conn: Connection, patience: float) -> None:
        conn.arriving = Arriving(self.bounds, patience)
        conn.deadline = conn.arriving.deadline

    def _receive(self, conn: Connection) -> None:
        try:
            data = conn.sock.recv(65536)
        except BlockingIOError:
            self._waiting.add(conn, self._receive)
            return
        except OSError:
            data = b""
        if data:
            self._add(conn, data)
        elif conn.arriving.has_head:
            self._hand_over(conn)  # the parser and the application say what is missing
        else:
            self._hang_up(conn)

    def _add(self, conn: Connection, data: bytes) -> None:
        arriving = conn.arriving
        self._waiting.hold(conn, data)
        if arriving.is_too_large:
            self._refuse(conn, 431)
            return
        is_over = self._waiting.held > MOST_HELD
        if arriving.is_ready or (is_over and arriving.has_head and self._free_to_stream):
            self._hand_over(conn)
        else:
            self._waiting.add(conn, self._receive)
        while self._waiting.held > MOST_HELD and (silent := self._waiting.longest_silent()):
            self._refuse(silent, 503)

    def _hand_over(self, conn: Connection) -> None:
        is_streaming = conn.arriving.has_head and not conn.arriving.is_whole
        if is_streaming and not self._free_to_stream:
            self._waiting.queue(conn, self.bounds.seconds)
            return
        self._waiting.leave(conn)
        conn.is_streaming = is_streaming
        self._free_to_stream -= is_streaming
        self.enqueue_req(conn)

    def _refuse(self, conn: Connection, status: int) -> None:
        environ = self._refusal_of(conn, status)
        self._expect_request(conn, 0)  # what has arrived is dropped
        self._waiting.release(conn)
        future = self.tpool.submit(self._send_refusal, conn, environ)
        future.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )

    # -- a thread works

    def handle(self, conn: Connection) -> bool:
        conn.sock.setblocking(True)
        conn.init()
        conn.parser.unreader = PacedUnreader(conn.sock, self.bounds, conn.arriving.received)
        del conn.arriving.received[MOST_HEAD:]  # a refusal reads the rest
        try:
            request = next(conn.parser)
            if conn.is_streaming:
                request.force_close()  # no thread waits for what the application did not read
        except (NoMoreData, StopIteration, ConnectionError):
            return False  # the client has gone
        except Exception as error:
            return self._send_refusal(conn, self._refusal_of(conn, refusals.status_of(error)))
        try:
            return bool(self._keepalive_after(conn, self.handle_request(request, conn)))
        except BlockingIOError:
            self.log.warning("A client took none of its response for %g s", self.bounds.seconds)
        except (OSError, StopIteration) as error:
            self.log.debug("A client has gone, or is too slow: %s", error)
        except Exception as error:
            self.log.exception("Error handling request")
            self._send_refusal(conn, self._refusal_of(conn, refusals.status_of(error)))
        return False

    def _refusal_of(self, conn: Connection, status: int) -> dict[str, Any]:
        head = bytes(conn.arriving.received[:MOST_HEAD])
        return refusals.environ_of(head, conn.client, self.cfg, status)

    def _send_refusal(self, conn: Connection, environ: dict[str, Any]) -> bool:
        with contextlib.suppress(OSError):
            conn.sock.setblocking(True)
            refusals.send(conn.sock, environ, self.app.callable, self.cfg)
        return False

    # -- and is done

    def finish_request(self, conn: Connection, done: Future[bool]) -> None:
        self._waiting.release(conn)
        if conn.is_streaming:
            conn.is_streaming = False
            self._free_to_stream += 1
            if (first := self._waiting.first_in_queue()) is not None:
                self._hand_over(first)
        if done.cancelled() or done.exception() or not done.result():
            self._close(conn)
            return
        conn.sock.setblocking(False)
        patience = self.cfg.keepalive
        self._expect_request(conn, patience if self.alive else min(patience, STOP_KEEPALIVE_LINGER))
        sent_ahead = conn.parser.unreader.take_buffered()
        if sent_ahead:
            self._add(conn, sent_ahead)
        else:
            self._waiting.add(conn, self._receive)

    def _close(self, conn: Connection) -> None:
        """Say that no more comes, and read until the client has seen it (RFC 9112, 9.6)."""
        conn.is_closing, conn.parser = True, None
        self._expect_request(conn, LINGER)  # what has arrived is dropped
        self._count(-1)
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._hang_up(conn)
            return
        self._waiting.add(conn, self._read_away)

    def _read_away(self, conn: Connection) -> None:
        try:
            data = conn.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._hang_up(conn)

    def _hang_up(self, conn: Connection) -> None:
        self._waiting.release(conn)
        conn.close()
        self.nr_conns -= 1
        if not conn.is_closing:
            self._count(-1)

    def _hang_up_on_the_longest(self) -> None:
        longest = self._waiting.longest()
        if longest is not None:
            self._hang_up(longest)

    # -- gunicorn's loop, and its end

    def murder_pending(self) -> None:
        """gunicorn asks after each round: hang up on those whose time is over, or make room."""
        for conn in self._waiting.overdue():
            if conn.is_idle:
                self._hang_up(conn)
            else:
                self._refuse(conn, 503 if self._waiting.is_queued(conn) else 408)
        if self.alive and self.nr_conns >= self.worker_connections:
            self._hang_up_on_the_longest()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        if self._turns.is_pausing:
            super().wait_for_and_dispatch_events(min(timeout, 0.001))
        else:
            super().wait_for_and_dispatch_events(timeout)
            self._turns.round_is_over()

    def run(self) -> None:
        shared.has_connections(self.age, 0)
        self._waiting = Waiting(self.poller)
        self.log.info("Worker serving (pid: %s)", self.pid)
        super().run()

    def _cap_keepalive(self, deadline: float) -> None:
        self._waiting.close_the_idle_by(deadline)

    def handle_abort(self, sig: int, frame: Any) -> None:
        """A worker that was stuck and is again alive serves what it has, and then ends."""
        self.cfg.worker_abort(self)
        self.handle_exit(sig, frame)
