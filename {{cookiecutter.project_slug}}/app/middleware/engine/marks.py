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
