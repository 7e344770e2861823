"""What engine/lines.py promises: gathered, bounded, whole, counted, and in their order."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.middleware.engine import destinations, lines, writer


class Slow:
    """A destination that takes what the test allows."""

    line_limit = 4096
    limit = 10

    def __init__(self) -> None:
        self.room = 1 << 30
        self.taken: list[bytes] = []

    def send(self, data: bytes) -> int:
        if not self.room:
            raise BlockingIOError
        sent = data[: self.room]
        self.room -= len(sent)
        self.taken.append(sent)
        return len(sent)


def to(destination: Slow) -> lines.Lines:
    return lines.Lines(destination)  # type: ignore[arg-type]


def test_as_many_whole_lines_go_at_once_as_the_destination_takes_untorn() -> None:
    slow = Slow()
    gathered = to(slow)
    for text in (b"one\n", b"two\n", b"three\n", b"a longer one than that\n", b"four\n"):
        gathered.add(text, at_once=False)
    assert gathered.flush()
    assert slow.taken == [b"one\ntwo\n", b"three\n", b"a longer one than that\n", b"four\n"]


def test_a_line_that_was_taken_in_part_is_completed_before_any_other() -> None:
    slow = Slow()
    gathered = to(slow)
    slow.room = 2
    gathered.add(b"first\n", at_once=True)
    gathered.add(b"second\n", at_once=True)
    assert b"".join(slow.taken) == b"fi"
    slow.room = 100
    assert gathered.flush()
    assert b"".join(slow.taken) == b"first\nsecond\n"


def test_what_finds_no_room_is_counted_and_the_count_stands_where_the_lines_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "MOST_BYTES", 2 * (len(b"line0\n") + lines.EACH))
    slow = Slow()
    slow.room = 0
    gathered = to(slow)
    for number in range(5):
        gathered.add(b"line%d\n" % number, at_once=False)
    slow.room = 1000
    assert gathered.flush()
    gathered.add(b"after\n", at_once=True)
    first, second, count, after = b"".join(slow.taken).splitlines()
    assert (first, second, after) == (b"line0", b"line1", b"after")
    assert json.loads(count)["dropped"] == 3


def test_no_drop_of_many_threads_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_BYTES", 600)
    slow = Slow()
    slow.room = 0
    gathered = to(slow)

    def add_often() -> None:
        for _ in range(500):
            gathered.add(b"line\n", at_once=False)

    threads = [threading.Thread(target=add_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    slow.room = 1 << 20
    assert gathered.flush()
    *written, count = b"".join(slow.taken).splitlines()
    assert len(written) + json.loads(count)["dropped"] == 8 * 500


def test_no_line_of_many_threads_is_lost_while_others_are_written() -> None:
    slow = Slow()
    gathered = to(slow)

    def note_often(thread: int) -> None:
        for number in range(500):
            gathered.note((b"%d %d\n".__mod__, (thread, number)))

    threads = [threading.Thread(target=note_often, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert gathered.flush()
    assert gathered.flush()
    written = b"".join(slow.taken).splitlines()
    assert sorted(written) == sorted(b"%d %d" % (t, n) for t in range(8) for n in range(500))


def test_a_line_is_made_of_what_was_noted_when_it_is_written_and_in_its_place() -> None:
    slow = Slow()
    gathered = to(slow)
    gathered.add(b"first\n", at_once=False)
    gathered.note((str.encode, "second\n"))
    gathered.add(b"third\n", at_once=False)
    assert gathered.flush()
    assert b"".join(slow.taken) == b"first\nsecond\nthird\n"


def test_a_line_that_cannot_be_made_is_counted_and_the_others_are_written() -> None:
    slow = Slow()
    gathered = to(slow)
    gathered.note((str.encode, "\ud800"))
    gathered.add(b"line\n", at_once=False)
    assert gathered.flush()
    line, count = b"".join(slow.taken).splitlines()
    assert (line, json.loads(count)["dropped"]) == (b"line", 1)


def test_what_waits_for_a_stalled_reader_is_made_and_counts_with_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a line is made of may be larger than the line, and is not kept for long."""
    monkeypatch.setattr(lines, "MOST_BYTES", 5000)
    slow = Slow()
    slow.room = 0
    gathered = to(slow)
    for _ in range(20):
        gathered.note((lambda size: b"x" * size + b"\n", 999))
        assert not gathered.flush()
    assert (list(gathered.gathered), gathered.size) == ([], 5000)
    slow.room = 1 << 20
    assert gathered.flush()
    *written, count = b"".join(slow.taken).splitlines()
    assert len(written) + json.loads(count)["dropped"] == 20


def test_lines_that_come_while_others_are_written_are_gathered_and_not_written_one_by_one() -> None:
    class Busy(Slow):
        def send(self, data: bytes) -> int:
            gathered.add(b"meanwhile\n", at_once=False)  # as another thread does
            return super().send(data)

    busy = Busy()
    gathered = to(busy)
    gathered.add(b"first\n", at_once=False)
    assert gathered.flush()
    assert (busy.taken, list(gathered.gathered)) == ([b"first\n"], [b"meanwhile\n"])


def test_a_line_that_is_made_while_another_is_written_neither_waits_nor_is_lost() -> None:
    """As when the collector runs a destructor that logs, in the middle of a write."""
    slow = Slow()
    gathered = to(slow)
    send: Callable[[bytes], int] = slow.send

    def logging_send(data: bytes) -> int:
        if data == b"first\n":
            gathered.add(b"nested\n", at_once=True)
        return send(data)

    slow.send = logging_send  # type: ignore[method-assign]
    gathered.add(b"first\n", at_once=True)
    assert slow.taken == [b"first\n"]
    assert gathered.flush()  # by the writer, a moment later
    assert slow.taken == [b"first\n", b"nested\n"]


def test_a_closed_standard_output_takes_nothing_and_keeps_nothing() -> None:
    gathered = lines.Lines(None)
    gathered.add(b"line\n", at_once=True)
    gathered.note((str.encode, "line\n"))
    assert not gathered.gathered


def test_a_captured_output_that_is_closed_is_tried_again_by_the_next_line_alone() -> None:
    stream = io.StringIO()
    gathered = lines.Lines(destinations.Captured(stream))
    gathered.add(b"first\n", at_once=False)
    assert stream.getvalue() == "first\n"
    stream.close()
    gathered.add(b"lost\n", at_once=False)
    assert (gathered in writer._waiting, gathered.is_awaited) == (False, False)
    gathered.destination = destinations.Captured(again := io.StringIO())
    gathered.note((str.encode, "last\n"))
    assert again.getvalue() == "lost\nlast\n"


def test_lines_are_written_a_moment_later_though_nobody_asks_for_it(tmp_path: Path) -> None:
    gathered = lines.lines_to_file(str(tmp_path / "log"))
    gathered.add(b"line\n", at_once=False)
    deadline = time.monotonic() + 20
    while (tmp_path / "log").read_bytes() != b"line\n":
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_file_is_closed_when_nobody_uses_it_and_its_lines_are_written(tmp_path: Path) -> None:
    """As in the tests of a service, whose applications have a log each."""
    log = tmp_path / "log"
    gathered = lines.lines_to_file(str(log))
    destination = gathered.destination
    assert isinstance(destination, destinations.File)
    fd = destination.fd
    gathered.add(b"line\n", at_once=False)
    del gathered, destination
    gc.collect()
    deadline = time.monotonic() + 20
    while log.read_bytes() != b"line\n" or _is_open(fd, log):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _is_open(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:
        return False


def test_many_applications_take_one_descriptor_of_standard_output() -> None:
    package = Path(str(lines.__file__)).parent
    code = f"""
import logging, os, sys  # logging before there is one more
sys.path.insert(0, {str(package.parent)!r})
from engine import lines
first = lines.lines_to_standard_output(is_test=False)
before = os.listdir("/dev/fd")
assert all(lines.lines_to_standard_output(is_test=False) is first for _ in range(9))
assert os.listdir("/dev/fd") == before
"""
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, timeout=30, stdout=subprocess.PIPE)


def test_two_ways_to_name_a_file_are_one_destination(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    assert lines.lines_to_file(path) is lines.lines_to_file(f"{tmp_path}/./log")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_of_multiprocessing_writes_its_lines_at_its_end(tmp_path: Path) -> None:
    package = Path(str(lines.__file__)).parent
    script = f"""
import logging, multiprocessing, sys  # logging before there is one more
sys.path.insert(0, {str(package.parent)!r})
from engine import lines, writer
gathered = lines.lines_to_file("log")
def work():
    gathered.add(b"from the child\\n", at_once=False)
if __name__ == "__main__":
    writer.GATHER_SECONDS = 1000
    gathered.add(b"from the parent\\n", at_once=False)
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
"""
    (tmp_path / "program.py").write_text(script, encoding="utf-8")
    command = [sys.executable, "program.py"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=30)
    written = (tmp_path / "log").read_bytes().splitlines()
    assert written == [b"from the parent", b"from the child"]


def test_a_named_pipe_may_get_its_reader_later(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    gathered = lines.Lines(destinations.File(str(tmp_path / "pipe")))
    gathered.add(b"before\n", at_once=True)
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with contextlib.closing(os.fdopen(reader, "rb")):
        assert gathered.flush()
        assert os.read(reader, 100) == b"before\n"
