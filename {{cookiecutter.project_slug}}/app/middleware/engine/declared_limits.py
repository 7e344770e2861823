"""Flask-Limiter as a notebook: what views and blueprints declare (limit_plans.py: the words).

`Limiter` is Flask-Limiter's for whoever declares; it never counts and is bound to no application.
A limit or an exemption belongs to the function that was decorated, and is found from the view by
way of functools.wraps: above the route decorator as well as below, and with its result thrown away.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import flask_limiter
from flask import Blueprint, Flask, current_app
from flask_limiter import ExemptionScope, Limit, RouteLimit

# Of Flask-Limiter's private names this one: its exception and its commands take it.
from flask_limiter._limits import RuntimeLimit as RuntimeLimit
from limits import RateLimitItem, parse_many

from .marks import handler_of, mark
from .settings import SettingError, refuse

EXAMPLE = "200 per hour;50 per minute"
MOST = 10**15 - 1  # requests in a window: no number of a header is larger (RFC 9651 3.3.1)
LONGEST = 9 * 10**12  # seconds of a window; a store counts its microseconds in 63 bits

DECLARED = "__declared_limits__"  # attributes of a decorated function
EXEMPTED = "__exempted_from_limits__"
WATCHED = "__watched_by_limiter__"


@functools.lru_cache(maxsize=1024)
def parse_limits(text: str) -> tuple[RateLimitItem, ...]:
    """Parse "200 per hour;50 per minute".

    :raises ValueError: where Flask-Limiter would raise one, or an amount or a window is 0 or more
        than can be counted.
    """
    items = tuple(dict.fromkeys(parse_many(text)))
    if re.search(r"(/|per)\s*0+\s*[a-z]", text, re.I):
        raise ValueError(text)
    if not all(1 <= i.amount <= MOST and i.get_expiry() <= LONGEST for i in items):
        raise ValueError(text)
    return items


def check_limits(name: str, value: object) -> None:
    """:raises ValueError: if it is neither a function nor a text that says limits."""
    try:
        if not callable(value):
            parse_limits(value if isinstance(value, str) else "")
    except ValueError:
        refuse(name, value, "is not a limit", EXAMPLE)


def check_cost(name: str, cost: object, text: object = "") -> None:
    """:param text: of the limits; a cost above one of them would never be admitted.
    :raises ValueError: if it is neither a function nor a whole number of at least 1.
    """
    if callable(cost):
        return
    if isinstance(cost, bool) or not isinstance(cost, int) or cost < 1:
        refuse(name, cost, "is not a whole number of at least 1", 1)
    if isinstance(text, str) and text:
        least = min(item.amount for item in parse_limits(text))
        if cost > least:
            refuse(name, cost, f"is more than {text} ever admits", least)


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """:raises ValueError: if the methods would match none, or what is to be called cannot be."""
    methods = options.get("methods")
    is_list = isinstance(methods, Collection) and not isinstance(methods, str) and methods
    if methods is not None and not (is_list and all(isinstance(one, str) for one in methods)):
        refuse(f"{name} methods", methods, "is not a list of methods", '["POST"]')
    for option in ("key_func", "exempt_when", "deduct_when", "on_breach"):
        function = options.get(option)
        if function is not None and not callable(function):
            refuse(f"{name} {option}", function, "is not a function", f"{option}=a_function")


def refuse_class(name: str, target: object) -> None:
    """:raises ValueError: for a class of views: the view that is made of it would not have this."""
    if isinstance(target, type):
        refuse(name, target.__name__, "is a class", f"decorators = [{name[1:]}] in the class")


def expand(limit: Limit, key_func: Callable[[], str]) -> Iterator[RuntimeLimit]:
    """Its limits one by one; a text from a function stays a function."""
    provider: Any = limit.limit_provider
    for item in (provider,) if callable(provider) else parse_limits(provider):
        yield RuntimeLimit(
            item,
            key_func,
            scope=limit.scope,
            per_method=limit.per_method,
            methods=limit.methods,
            error_message=limit.error_message,
            exempt_when=limit.exempt_when,
            override_defaults=limit.override_defaults,
            deduct_when=limit.deduct_when,
            on_breach=limit.on_breach,
            cost=1 if limit.cost is None else limit.cost,
            shared=limit.shared,
        )


class Declaration(RouteLimit):
    """One @limiter.limit(...) or `with limiter.limit(...):`."""

    def __iter__(self) -> Iterator[RuntimeLimit]:
        return expand(self, self.limit_by)

    def __call__(self, obj: Any) -> Any:
        refuse_class("@limiter.limit(...)", obj)
        declarations = (*getattr(obj, DECLARED, ()), self)
        if isinstance(obj, Blueprint):
            return mark(obj, DECLARED, declarations)
        with suppress(AttributeError):  # of a bound method only what is returned is limited
            setattr(obj, DECLARED, declarations)
        return watch(obj, self, declarations)

    def __enter__(self) -> None:
        limits = current_app.extensions.get("rate_limiting")
        if limits is not None:
            limits.before_call(self, "with")


def watch(
    function: Callable[..., Any],
    declaration: Declaration | None,
    declarations: tuple[Declaration, ...],
) -> Any:
    """The function, before which the application's limits are asked.

    :param declaration: what this was called for; None for a view whose limits stand elsewhere.
    :param declarations: all of the function's.
    """
    is_innermost = not hasattr(function, WATCHED)
    name = getattr(function, "__qualname__", "")

    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        limits = app.extensions.get("rate_limiting")
        if limits is not None:
            limits.before_call(declaration, name, is_innermost)
        return app.ensure_sync(function)(*args, **kwargs)

    setattr(watched, DECLARED, declarations)
    setattr(watched, WATCHED, True)
    return watched


class Limiter(flask_limiter.Limiter):
    """Flask-Limiter's decorators; what is not offered is refused where it is written."""

    def __init__(self, key_func: Callable[[], str]) -> None:
        super().__init__(key_func)
        self.key_func = key_func
        self.filters: list[Callable[[], bool]] = []
        refuse_route_limit: Any = _refuse_route_limit
        self.limit_manager.add_decorated_limit = refuse_route_limit  # type: ignore[method-assign]

    def limit(
        self,
        limit_value: str | Callable[[], str],
        *,
        key_func: Callable[[], str] | None = None,
        override_defaults: bool = True,
        cost: int | Callable[[], int] = 1,
        **options: Any,
    ) -> Declaration:
        """As Flask-Limiter's.

        :raises ValueError: if a limit, its cost or an option cannot be meant; meta limits are not
            offered.
        """
        name = "@limiter.shared_limit" if options.get("shared") else "@limiter.limit"
        check_limits(name, limit_value)
        check_cost(f"{name} cost", cost, limit_value)
        check_options(name, {**options, "key_func": key_func})
        if options.pop("meta_limits", None):
            raise SettingError(f"{name}: meta_limits are not offered; for example a second limit")
        return Declaration(
            limit_provider=limit_value,
            limiter=self,
            key_function=key_func or self.key_func,
            override_defaults=override_defaults,
            cost=cost,
            **options,
        )

    def shared_limit(
        self, limit_value: str | Callable[[], str], scope: Any, **options: Any
    ) -> Declaration:
        """As Flask-Limiter's; raises as limit() does."""
        return self.limit(limit_value, scope=scope, shared=True, **options)

    def exempt(self, obj: Any = None, *, flags: ExemptionScope | None = None) -> Any:
        """As Flask-Limiter's.

        :raises ValueError: for a class of views.
        """
        refuse_class("@limiter.exempt", obj)
        scope = ExemptionScope
        flags = scope.APPLICATION | scope.DEFAULT | scope.META if flags is None else flags
        if obj is None:
            return functools.partial(self.exempt, flags=flags)
        return mark(obj, EXEMPTED, flags)

    def request_filter(self, fn: Callable[[], bool]) -> Callable[[], bool]:
        """A function that says which requests are not limited at all."""
        self.filters.append(fn)
        return fn

    def init_app(self, app: Flask) -> None:
        raise NotImplementedError("call configure_rate_limiting(app) instead of limiter.init_app")

    def check(self) -> None:
        raise NotImplementedError("limits are checked by themselves; or use `with limiter.limit()`")

    def reset(self) -> None:
        """Clear all counters of the current application, in a shared store as well: for tests.

        :raises RuntimeError: outside of an application context.
        """
        limits = current_app.extensions.get("rate_limiting")
        if limits is not None:
            limits.reset()

    @property
    def current_limits(self) -> list[flask_limiter.RequestLimit]:
        """The limits that this request was counted on."""
        limits = current_app.extensions.get("rate_limiting")
        return [] if limits is None else limits.current_limits

    @property
    def current_limit(self) -> flask_limiter.RequestLimit | None:
        """The limit of this request of which the least remains."""
        return min(self.current_limits, key=lambda limit: limit.remaining, default=None)


def _refuse_route_limit(*_: Any, **__: Any) -> None:
    raise SettingError(
        "RouteLimit: limits that nobody would check; for example @limiter.limit(...)"
    )


def functions_of(view: Any, method: str) -> Iterator[Any]:
    """The view, what it wraps, and what a class-based view calls for this method."""
    view_class = getattr(view, "view_class", None)
    dispatcher = getattr(view_class, "dispatch_request", None)
    for function in (view, dispatcher, handler_of(view_class, method)):
        while function is not None:
            yield function
            function = getattr(function, "__wrapped__", None)


def read_declarations(
    functions: Sequence[Any], app: Flask, endpoint: str | None
) -> tuple[tuple[Declaration, ...], list[RuntimeLimit], ExemptionScope]:
    """Those of an endpoint's functions, the limits that these and its blueprint declare, and what
    it is exempted from, as Flask-Limiter combines them."""
    declarations = tuple({id(d): d for f in functions for d in getattr(f, DECLARED, ())}.values())
    exemption = ExemptionScope.NONE
    for function in functions:
        exemption |= getattr(function, EXEMPTED, ExemptionScope.NONE)
    limits = [] if exemption else [limit for one in declarations for limit in one]
    of_blueprint, its_exemption = read_blueprint(app, (endpoint or "").rpartition(".")[0])
    is_exempt = bool(exemption & ExemptionScope.DEFAULT)  # @limiter.exempt is on the view
    if not is_exempt and not any(limit.override_defaults for limit in limits):
        limits += of_blueprint
    return declarations, limits, exemption | its_exemption


def read_blueprint(app: Flask, name: str) -> tuple[list[RuntimeLimit], ExemptionScope]:
    """The limits that a blueprint and those around it declare, and what they are exempted from, as
    Flask-Limiter combines them; but by themselves, since others may have their names."""
    scope, names = ExemptionScope, name.split(".")
    nested = [app.blueprints.get(".".join(names[:n])) for n in range(len(names), 0, -1)]
    if nested[0] is None:
        return [], scope.NONE
    exemptions = [getattr(one, EXEMPTED, scope.NONE) for one in nested]
    declared: list[list[Declaration]] = [list(getattr(one, DECLARED, ())) for one in nested]
    own, exemption = declared[0], exemptions[0] & ~scope.ANCESTORS
    is_exempt = bool(exemption & ~(scope.DEFAULT | scope.APPLICATION))
    for place, flags in enumerate(exemptions):
        if flags & scope.DESCENDENTS:
            exemption |= flags
            declared[place] = []
    overrides = own and all(one.override_defaults for one in own)
    if not (overrides or exemptions[0] & scope.ANCESTORS):
        own = [one for some in declared for one in some]
    return [] if is_exempt else [limit for one in own for limit in one], exemption
