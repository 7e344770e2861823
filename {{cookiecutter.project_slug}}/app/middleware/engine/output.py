"""A destination, and how an application's lines look there."""

from __future__ import annotations

import os
import sys
from functools import partial

from .lines import Lines
from .rendering import Fields, as_harmless_json, as_json, as_text, fit, harmless

LONGEST_TEXT = 1 << 14  # bytes of what people read, tracebacks and all


class Output:
    """What one application writes to one destination."""

    def __init__(self, lines: Lines, at_once: bool, is_text: bool = False) -> None:
        """
        :param at_once: write each line when it is made, do not gather.
        :param is_text: lines for people, not JSON.
        """
        self.lines = lines
        self.at_once = at_once
        self.is_text = is_text
        self.render = as_json
        self.size = getattr(lines.destination, "line_limit", LONGEST_TEXT)
        if is_text:
            is_terminal = sys.stdout is not None and sys.stdout.isatty()
            self.render = partial(as_text, colours=is_terminal and "NO_COLOR" not in os.environ)
            self.size = LONGEST_TEXT

    def write(self, fields: Fields) -> None:
        self.lines.add(fit(fields, self.render, self.size), self.at_once)

    def write_request(self, fields: Fields) -> None:
        """The same, of members that a client chose."""
        line = None if self.is_text else as_harmless_json(fields)
        if line is not None:
            self.lines.add(line, self.at_once)
        else:
            self.write(harmless(fields))

    def drop(self) -> None:
        """Count a line that could not be made."""
        self.lines.drop(self.at_once)
