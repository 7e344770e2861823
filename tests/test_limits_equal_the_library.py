"""Whatever is declared, Flask-Limiter admits the same, on random services.

Compared up to the first refusal: what a refused request spends differs by design (here nothing).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import flask_limiter
import pytest
from flask import Blueprint, Flask, request
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.limited import PACKAGE, load

# hypothesis sees what the threads of other tests do, which look for a store that is away
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the .random. module")

PATHS = ("/a", "/b", "/shop/c", "/shop/d")
limits = st.dictionaries(
    st.sampled_from(["minute", "hour", "day"]), st.integers(1, 6), min_size=1, max_size=2
).map(lambda windows: ";".join(f"{amount} per {window}" for window, amount in windows.items()))


@dataclass(frozen=True)
class Declared:
    """What stands over a view: calls of limiter.limit, shared_limit or exempt."""

    calls: tuple[tuple[str, str, dict[str, Any]], ...]

    def over(self, limiter: Any, view: Any) -> Any:
        for kind, text, options in self.calls:
            if kind == "exempt":
                view = limiter.exempt(view)
            elif kind == "shared":
                view = limiter.shared_limit(text, scope="shared", **options)(view)
            else:
                view = limiter.limit(text, **options)(view)
        return view


options = st.fixed_dictionaries(
    {},
    optional={
        "per_method": st.booleans(),
        "methods": st.sampled_from([["GET"], ["POST"], ["get", "POST"]]),
        "override_defaults": st.booleans(),
        "cost": st.integers(1, 3),
    },
)


def is_admitted_at_all(call: tuple[str, str, dict[str, Any]]) -> bool:
    """Whether the cost is within the limits: we refuse it otherwise where it stands."""
    _, text, asked = call
    return int(asked.get("cost", 1)) <= min(map(int, re.findall("[0-9]+", text)))


kinds = st.sampled_from(["limit", "limit", "shared", "exempt"])
calls: Any = st.tuples(kinds, limits, options).filter(is_admitted_at_all)
declared = st.lists(calls, max_size=2).map(lambda some: Declared(tuple(some)))
services = st.fixed_dictionaries(
    {
        "default": st.none() | limits,
        "application": st.none() | limits,
        "per_method": st.booleans(),
        "views": st.tuples(*(declared for _ in PATHS)),
        "blueprint": st.none() | st.just("exempt") | st.tuples(limits, st.booleans()),
    }
).filter(lambda service: is_said_once(service) and not is_exempt_in_limited(service))
requests = st.lists(
    st.tuples(
        st.sampled_from(PATHS),
        st.sampled_from(["GET", "POST", "HEAD"]),
        st.sampled_from(["192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1"]),
    ),
    min_size=1,
    max_size=40,
)


def named(name: str) -> Callable[[], str]:
    def view() -> str:
        return name

    view.__name__ = view.__qualname__ = name
    return view


def build(service: dict[str, Any], make: Callable[[Flask], Any]) -> Flask:
    app = Flask("service")
    config = {"RATELIMIT_DEFAULT": service["default"]}
    config |= {"RATELIMIT_APPLICATION": service["application"]}
    config |= {"RATELIMIT_DEFAULTS_PER_METHOD": service["per_method"]}
    config |= {"RATELIMIT_STRATEGY": "moving-window", "RATELIMIT_STORAGE_URI": "memory://"}
    app.config.update({key: value for key, value in config.items() if value is not None})
    limiter = make(app)
    shop = Blueprint("shop", __name__, url_prefix="/shop")
    for path, declaration in zip(PATHS, service["views"], strict=True):
        view = declaration.over(limiter, named(path.rpartition("/")[2]))
        target: Any = shop if path.startswith("/shop") else app
        target.add_url_rule(path.removeprefix("/shop"), view_func=view, methods=["GET", "POST"])
    if service["blueprint"] == "exempt":
        limiter.exempt(shop)
    elif service["blueprint"]:
        text, overrides = service["blueprint"]
        limiter.limit(text, override_defaults=overrides)(shop)
    app.register_blueprint(shop)
    return app


def ours(app: Flask) -> Any:
    module = load(anew=True)  # its limiter keeps what is declared on blueprints
    module.configure_rate_limiting(app)
    return module.limiter


class FromFunctions:
    """The same, but all that may be a function is one."""

    def __init__(self, limiter: Any) -> None:
        self.exempt, self._limiter = limiter.exempt, limiter

    def limit(self, text: str, **options: Any) -> Any:
        return self._limiter.limit(lambda: text, **self._functions(**options))

    def shared_limit(self, text: str, **options: Any) -> Any:
        return self._limiter.shared_limit(lambda: text, **self._functions(**options))

    @staticmethod
    def _functions(cost: int = 1, scope: Any = None, **options: Any) -> dict[str, Any]:
        bucket_of = importlib.import_module(f"{PACKAGE}.engine.clients").bucket_of
        options |= {"key_func": lambda: bucket_of(request.remote_addr), "cost": lambda: cost}
        return options | {"scope": scope and (lambda endpoint: scope), "exempt_when": lambda: False}


def ours_from_functions(app: Flask) -> Any:
    for key in ("RATELIMIT_DEFAULT", "RATELIMIT_APPLICATION"):
        if key in app.config:
            app.config[key] = partial(str, app.config[key])
    return FromFunctions(ours(app))


def the_library(app: Flask) -> Any:
    load()
    bucket_of = importlib.import_module(f"{PACKAGE}.engine.clients").bucket_of
    return flask_limiter.Limiter(lambda: bucket_of(request.remote_addr), app=app)


def responses(app: Flask, asked: list[tuple[str, str, str]]) -> list[int]:
    """Status codes up to the first refusal, and its own."""
    client, seen = app.test_client(), []
    for path, method, address in asked:
        base = {"REMOTE_ADDR": address}
        seen.append(client.open(path, method=method, environ_base=base).status_code)
        if seen[-1] == 429:
            break
    return seen


def is_said_once(service: dict[str, Any]) -> bool:
    """Whether no limit stands twice over a view: the library draws on it twice then, we once."""
    over_all = service["default"] or ""
    if isinstance(service["blueprint"], tuple):
        over_all += ";" + service["blueprint"][0]
    for declaration in service["views"]:
        for kinds in (("limit", "exempt"), ("shared",)):
            texts = [text for kind, text, _ in declaration.calls if kind in kinds]
            items = ";".join([over_all, *texts]).split(";")
            if len(set(items)) < len(items):
                return False
    return True


def is_exempt_in_limited(service: dict[str, Any]) -> bool:
    """Whether a view of a limited blueprint is exempt: the library limits it, we do not."""
    of_shop = [one for path, one in zip(PATHS, service["views"], strict=True) if "/shop/" in path]
    kinds = {kind for one in of_shop for kind, _, _ in one.calls}
    return isinstance(service["blueprint"], tuple) and "exempt" in kinds


def is_by_method(service: dict[str, Any]) -> bool:
    """Whether methods are told apart: for the library a HEAD is not a GET then, for us it is."""
    options = [asked for one in service["views"] for _, _, asked in one.calls]
    return service["per_method"] or any("methods" in o or o.get("per_method") for o in options)


def check(service: dict[str, Any], asked: list[tuple[str, str, str]]) -> None:
    if is_by_method(service):
        asked = [one for one in asked if one[1] != "HEAD"]
    expected = responses(build(service, the_library), asked)
    assert responses(build(service, ours), asked) == expected
    assert responses(build(service, ours_from_functions), asked) == expected


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(service=services, asked=requests)
def test_the_library_admits_the_same(service: dict[str, Any], asked: Any) -> None:
    check(service, asked)


@pytest.mark.soak
@settings(max_examples=1000, derandomize=True, deadline=None, database=None)
@given(service=services, asked=requests)
def test_the_library_admits_the_same_at_full_size(service: dict[str, Any], asked: Any) -> None:
    check(service, asked)
