"""What a check finds, and where a check runs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from app.middleware.engine.settings import read_list, refuse

if TYPE_CHECKING:
    from app.checks.service import Service

LEVELS = {"E": "error", "W": "warning", "I": "info"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One risk: what is wrong, why it matters and what to do."""

    code: str  # E001: error, W001: warning, I001: info
    reason: str
    remedy: str

    @property
    def level(self) -> str:
        return LEVELS[self.code[0]]

    def as_dict(self) -> dict[str, str]:
        return {"id": self.code, "level": self.level, "reason": self.reason, "remedy": self.remedy}


Check = Callable[["Service"], Iterator[Finding]]

PRODUCTION: list[Check] = []
EVERYWHERE: list[Check] = []
EVERY_START: list[Check] = []


def in_production(check: Check) -> Check:
    """Registers what `flask check` and the start look at where PRODUCTION is set."""
    PRODUCTION.append(check)
    return check


def everywhere(check: Check) -> Check:
    """Registers what `flask check` looks at in development too, and the start in production."""
    EVERYWHERE.append(check)
    return check


def at_every_start(check: Check) -> Check:
    """Registers what `flask check` and the start look at in every configuration."""
    EVERY_START.append(check)
    return check


def findings(service: Service, at_start: bool = False) -> list[Finding]:
    """All risks but those in CHECKS_SILENCED, errors first.

    :param at_start: outside of production, look only at what no start may hide.
    :raises ValueError: if CHECKS_SILENCED is not a list of identifiers.
    """
    checks = list(EVERY_START)
    if service.is_production:
        checks += EVERYWHERE + PRODUCTION
    elif not at_start:
        checks += EVERYWHERE
    silent = silenced(service)
    found = [f for check in checks for f in check(service) if f.code not in silent]
    return sorted(found, key=lambda f: (list(LEVELS).index(f.code[0]), f.code))


def silenced(service: Service) -> list[str]:
    """The identifiers in CHECKS_SILENCED."""
    codes = read_list(service.config, "CHECKS_SILENCED", example="W002,W005")
    for code in codes:
        if not re.fullmatch("[EWI][0-9]{3}", code):
            refuse("CHECKS_SILENCED", code, "is not an identifier", "W002,W005")
    return codes
