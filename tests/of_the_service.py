"""What the service's own tests are made of, for tests of the template."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from tests.servers import SERVICE


def load_tests(*names: str) -> list[ModuleType]:
    """Modules of the service's tests, leaving no trace of its packages `app` and `tests` behind."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if is_of_a_package(name)}
    sys.path.insert(0, str(SERVICE))
    try:
        return [importlib.import_module(f"tests.{name}") for name in names]
    finally:
        sys.path.remove(str(SERVICE))
        for name in list(filter(is_of_a_package, sys.modules)):
            del sys.modules[name]
        sys.modules.update(before)


def is_of_a_package(name: str) -> bool:
    return name.partition(".")[0] in ("app", "tests")
