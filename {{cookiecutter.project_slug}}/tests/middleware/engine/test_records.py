"""What engine/records.py promises: a record as the members of a line, and where it is not ours."""

from __future__ import annotations

import io
import logging
import pickle
import sys
from typing import Any

import pytest
from flask import Flask

from app.middleware.engine import records
from app.middleware.engine.context import current
from app.middleware.engine.output import Output


class Kept(Output):
    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    def write(self, fields: dict[str, Any]) -> None:
        self.written.append(fields)


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Kept:
    while now := current():  # of other tests: it goes on until its response is read or closed
        now.end()
    monkeypatch.setattr(logging.root, "handlers", [])
    kept = Kept()
    records.write_records(Flask("service"), kept, "INFO")
    return kept


def test_a_record_that_another_process_sent_still_has_its_exception(output: Kept) -> None:
    record = logging.getLogger("far").makeRecord("far", logging.ERROR, "f", 1, "away", (), None)
    record.exc_text = "ValueError: there"
    records._handler.emit(record)
    assert output.written[0]["exception"] == "ValueError: there"


def test_the_name_of_a_logger_cannot_forge_a_line(output: Kept) -> None:
    logging.getLogger("tenant\n12:00:00 \x1b[31mERROR").error("m")
    assert output.written[0]["logger"] == "tenant\\n12:00:00 ERROR"


def test_every_record_has_the_ids_as_plain_members_and_others_may_set_them(output: Kept) -> None:
    logger = logging.getLogger("a.library")
    record = logger.makeRecord("a", logging.INFO, "f", 1, "m", (), None, extra={"trace_id": "own"})
    assert vars(record)["trace_id"] == "own"
    assert vars(record)["request_id"] is None
    assert logging.Formatter("%(request_id)s %(trace_id)s").format(record) == "None own"
    assert pickle.loads(pickle.dumps(record)).trace_id == "own"


def test_a_factory_that_others_put_around_ours_is_called_once(output: Kept) -> None:
    ours, calls = logging.getLogRecordFactory(), []

    def theirs(*args: Any, **kwargs: Any) -> logging.LogRecord:
        calls.append(args)
        return ours(*args, **kwargs)

    logging.setLogRecordFactory(theirs)
    try:
        records.write_records(Flask("next"), output, "INFO")
        assert logging.getLogRecordFactory() is theirs
        logging.getLogger("a.library").warning("once")
    finally:
        logging.setLogRecordFactory(ours)
    assert len(calls) == len(output.written) == 1


def test_the_level_is_obeyed_though_others_let_more_pass(output: Kept) -> None:
    records.write_records(Flask("service"), output, "ERROR")
    logging.getLogger("a.library").warning("not so bad")
    logging.getLogger("a.library").error("bad")
    assert [line["message"] for line in output.written] == ["bad"]


@pytest.mark.parametrize("attribute", ["stream", "console"])
def test_a_handler_that_writes_to_the_console_has_its_records_to_itself(
    output: Kept, attribute: str
) -> None:
    class Console:
        file = sys.stderr

    handler = logging.NullHandler()
    setattr(handler, attribute, sys.stderr if attribute == "stream" else Console())
    logging.root.addHandler(handler)
    logging.getLogger("a.library").warning("theirs")
    assert output.written == []


@pytest.mark.parametrize(
    "handler",
    [
        logging.StreamHandler(io.StringIO()),
        logging.NullHandler(),
        logging.StreamHandler(sys.stderr),
    ],
    ids=["elsewhere", "nowhere", "not-at-this-level"],
)
def test_another_handler_silences_nothing(output: Kept, handler: logging.Handler) -> None:
    handler.setLevel(logging.ERROR)
    logging.root.addHandler(handler)
    logging.getLogger("a.library").warning("ours")
    assert [line["message"] for line in output.written] == ["ours"]
