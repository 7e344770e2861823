"""The day when Flask-Limiter changes what we lean on beside its documentation, this says what."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path

import flask_limiter
import pytest
from flask import Flask
from flask_limiter._limits import RuntimeLimit

from tests.limited import FOLDER

PRIVATE = {"_limits"}  # what of it is private; declared_limits.py gives the reason


def private_names(path: Path) -> Iterator[str]:
    """Private names that a file imports from Flask-Limiter, or asks a Limiter for."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flask_limiter"):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            yield from (name for name in names if name.startswith("_"))
        if isinstance(node, ast.Attribute) and node.attr in vars(flask_limiter.Limiter(str)):
            yield from [node.attr] if node.attr.startswith("_") else []


def test_no_more_private_names_are_used_than_these() -> None:
    paths = [*FOLDER.glob("*.py"), *FOLDER.glob("engine/*.py")]
    own = {"_key_func", "_limiter"}  # of our own classes, by chance
    assert {name for path in paths for name in private_names(path)} - own == PRIVATE


def test_a_resolved_limit_has_the_members_that_we_fill_in() -> None:
    names = [field.name for field in dataclasses.fields(RuntimeLimit)]
    assert names == [
        "limit",
        "key_func",
        "scope",
        "per_method",
        "methods",
        "error_message",
        "exempt_when",
        "override_defaults",
        "deduct_when",
        "on_breach",
        "cost",
        "shared",
        "meta_limits",
    ]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("add_decorated_limit", ["route", "limit", "override"]),
        ("blueprint_limits", ["app", "blueprint"]),
        ("exemption_scope", ["app", "endpoint", "blueprint"]),
        ("resolve_limits", ["app", "endpoint", "blueprint"]),
        ("decorated_limits", ["callable_name"]),
    ],
)
def test_the_manager_of_limits_has_the_methods_that_we_call_or_stand_in_for(
    name: str, parameters: list[str]
) -> None:
    manager = flask_limiter.Limiter(str).limit_manager
    assert list(inspect.signature(getattr(manager, name)).parameters)[:3] == parameters[:3]


def test_a_declared_limit_takes_the_options_that_we_hand_on() -> None:
    options = inspect.signature(flask_limiter.Limiter.limit).parameters.keys()
    ours = {"self", "limit_value", "key_func"}
    assert options - ours <= inspect.signature(flask_limiter.RouteLimit).parameters.keys()


def test_the_commands_look_for_a_limiter_where_we_put_one() -> None:
    source = inspect.getsource(inspect.getmodule(flask_limiter.Limiter) or flask_limiter)
    assert 'app.extensions["limiter"].add(self)' in source
    assert Flask("service").extensions == {}
