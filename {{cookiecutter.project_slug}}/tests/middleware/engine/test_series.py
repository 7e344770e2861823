"""engine/series.py: labels that are bounded, and processes that have ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.middleware.engine.series import BUCKETS, METHODS, MOST, Series, forget_dead

pytest.importorskip("prometheus_client", reason="pip install 'prometheus-client>=0.21,<1'")


def test_a_method_that_is_none_of_http_has_the_label_other() -> None:
    series = Series(None)
    for method in ("GET", "FROB", "BREW"):
        series.ended.append((method, "/x", 2, 0.1))
    assert counts(series) == {"GET": 1, "OTHER": 2}
    assert len(METHODS) == 9


def counts(series: Series) -> dict[str, float]:
    samples = [one for family in series.collect() for one in family.samples]
    return {
        one.labels["method"]: one.value for one in samples if one.name.endswith("_seconds_count")
    }


def test_many_requests_are_counted_as_one_by_one() -> None:
    series = Series(None)
    values = [0.0, 0.005, 0.0051, 0.1, 0.10001, 9.9, 10.0, 11.0, 1000.0]
    for seconds in values:
        series.ended.append(("GET", "/x", 2, seconds))
        series.seconds.labels("GET", "/y", "2xx").observe(seconds)
    samples = [one for family in series.collect() for one in family.samples]
    by_rule = [
        [
            (one.name, one.labels.get("le"), one.value)
            for one in samples
            if one.labels.get("rule") == rule and not one.name.endswith("_created")
        ]
        for rule in ("/x", "/y")
    ]
    assert by_rule[0] == by_rule[1]
    assert len(by_rule[0]) == len(BUCKETS) + 2


def test_what_is_noted_and_never_read_takes_so_much_memory() -> None:
    series = Series(None)
    for _ in range(MOST * 3):
        series.ended.append(("GET", "/x", 2, 0.1))
        series.wake()
    assert len(series.ended) < MOST


def test_a_reason_that_is_not_known_has_the_label_other() -> None:
    series = Series(None)
    series.refuse("of_ones_own")
    series.refuse("rate_limited")
    samples = [one for family in series.registry.collect() for one in family.samples]
    refused = [one for one in samples if one.name.endswith("refused_total")]
    counted = {one.labels["reason"]: one.value for one in refused}
    assert (counted["OTHER"], counted["rate_limited"], counted["authn_failed"]) == (1, 1, 0)


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for on Unix only")
def test_files_of_gauges_go_with_their_process(tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    names = [f"gauge_livesum_{n}.db" for n in (pid, os.getpid())] + [f"counter_{pid}.db"]
    for name in names:
        (tmp_path / name).touch()
    forget_dead(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])
