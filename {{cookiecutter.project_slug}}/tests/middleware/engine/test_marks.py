"""What engine/marks.py promises: a mark is on what was decorated, and on nothing else."""

from __future__ import annotations

from flask import Blueprint

from app.middleware.engine.marks import handler_of, mark


class Extension:
    def page(self, name: str) -> str:
        return f"page {name}"


def test_a_function_a_class_and_a_blueprint_are_marked_themselves() -> None:
    def view() -> str:
        return "view"

    for target in (view, type("View", (), {}), Blueprint("docs", __name__)):
        assert mark(target, "is_open", True) is target
        assert getattr(target, "is_open") is True  # noqa: B009


def test_of_a_bound_method_only_what_is_returned_is_marked() -> None:
    extension = Extension()
    marked = mark(extension.page, "is_open", True)
    assert (marked.is_open, marked(name="a")) == (True, "page a")
    assert mark(marked, "is_listed", True) is marked
    for method in (extension.page, Extension().page, Extension.page):
        assert not hasattr(method, "is_open")


def test_a_class_of_views_serves_a_head_by_its_get() -> None:
    class View:
        def get(self) -> str:
            return "get"

    assert handler_of(View, "GET") is handler_of(View, "HEAD") is View.get
    assert handler_of(View, "POST") is None
