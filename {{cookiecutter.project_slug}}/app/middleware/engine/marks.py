"""What a decorator says of a view or of a blueprint, for when a request comes in."""

from __future__ import annotations

import functools
from typing import Any


def mark(target: Any, name: str, value: object) -> Any:
    """:returns: the target, with this attribute. A bound method, as extensions register them, takes
    none, and its function belongs to all objects of its class: then only what is returned has it.
    """
    try:
        setattr(target, name, value)
    except AttributeError:
        target = functools.partial(target)
        setattr(target, name, value)
    return target


def handler_of(view_class: Any, method: str) -> Any:
    """What a class of views calls for this method, a GET's for a HEAD; None where there is none."""
    handler = getattr(view_class, method.lower(), None)
    if handler is None and method == "HEAD":
        handler = getattr(view_class, "get", None)
    return handler
