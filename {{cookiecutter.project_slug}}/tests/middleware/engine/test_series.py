"""engine/series.py: labels that are bounded, and processes that have ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.middleware.engine.series import METHODS, Series, forget_dead

pytest.importorskip("prometheus_client", reason="pip install 'prometheus-client>=0.21,<1'")


def test_a_method_that_is_none_of_http_has_the_label_other() -> None:
    series = Series(None)
    assert series.seconds_of("FROB", "/x", 2) is series.seconds_of("BREW", "/x", 2)
    assert series.seconds_of("GET", "/x", 2) is not series.seconds_of("FROB", "/x", 2)
    assert len(METHODS) == 9


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
