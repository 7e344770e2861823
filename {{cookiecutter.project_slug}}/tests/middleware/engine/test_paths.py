"""What app/middleware/engine/paths.py promises."""

from __future__ import annotations

import pytest

from app.middleware.engine.paths import Paths, read_exact_paths, read_paths


@pytest.mark.parametrize("written", ["/api/", "/api"])
def test_a_path_covers_itself_and_all_below_it_and_no_other(written: str) -> None:
    paths = Paths([written, "/static/"])
    for path in ("/api", "/api/", "/api/x", "/api//x", "//api", "///api/x", "/static/a/b.css"):
        assert paths.cover(path)
    for path in ("api", "api/x", "static/a/b.css"):  # below a prefix: /shopapi/x
        assert paths.cover(path)
    for path in ("", "/", "//", "/ap", "//apikeys", "/API/x", "/x/api/", "/staticx", "x/api/"):
        assert not paths.cover(path)


def test_the_root_covers_everything_and_no_path_nothing() -> None:
    assert all(map(Paths(["/"]).cover, ("", "/", "/a", "/a/b")))
    assert not any(map(Paths([]).cover, ("", "/", "/a")))


@pytest.mark.parametrize("written", ["/größe/", "/gr%C3%B6%C3%9Fe"])
def test_a_path_is_the_one_that_people_write(written: str) -> None:
    path = "/größe".encode().decode("latin-1")  # PEP 3333
    paths = Paths([written])
    assert paths.cover(path) and paths.cover(f"{path}/x")
    assert read_exact_paths({"PATHS": written.rstrip("/")}, "PATHS", []) == {path}


@pytest.mark.parametrize("value", ["/api/,/static", ["/api/", "/static"], '["/api/", "/static"]'])
def test_a_list_is_read_as_python_text_and_json(value: object) -> None:
    assert read_paths({"PATHS": value}, "PATHS", ["/api/"]) == ["/api/", "/static"]
    assert read_paths({}, "PATHS", ["/api/"]) == ["/api/"]


@pytest.mark.parametrize("value", ["api/", "/api/*", "^/api/", r"/api/\d", "/a b", "/a?b", [1], 7])
def test_what_is_not_a_path_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"^PATHS: .*; for example /api/"):
        read_paths({"PATHS": value}, "PATHS", ["/api/"])
    with pytest.raises(ValueError, match=r"^PATHS: .*; for example "):
        read_exact_paths({"PATHS": value}, "PATHS", ["/api/"])
