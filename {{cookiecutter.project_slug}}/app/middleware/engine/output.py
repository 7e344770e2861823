"""A destination, and how an application's lines look there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from .lines import Lines, lines_to_file, lines_to_standard_output
from .rendering import Fields, as_harmless_json, as_json, as_text, fit, harmless, renamed
from .settings import Config, did_you_mean, read_mapping, refuse

LONGEST_TEXT = 1 << 14  # bytes of what people read, tracebacks and all


class Output:
    """What one application writes to one destination."""

    def __init__(
        self,
        lines: Lines,
        at_once: bool,
        is_text: bool = False,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """
        :param at_once: write each line when it is made, do not gather.
        :param is_text: lines for people, not JSON.
        :param names: other names for members of JSON lines.
        """
        self.lines = lines
        self.at_once = at_once
        self.is_text = is_text
        self.names = {} if is_text else dict(names or {})
        self.render = as_json
        self.size = getattr(lines.destination, "line_limit", LONGEST_TEXT)
        self.level = 0  # from which on records of other loggers are written
        if is_text:
            is_terminal = sys.stdout is not None and sys.stdout.isatty()
            self.render = partial(as_text, colours=is_terminal and "NO_COLOR" not in os.environ)
            self.size = LONGEST_TEXT
        lines.names = self.names

    def write(self, fields: Fields) -> None:
        self.lines.add(self.line(fields), self.at_once)

    def write_request(self, fields: Fields) -> None:
        """The same, of members that a client chose."""
        self.lines.add(self.request_line(fields), self.at_once)

    def note_request(self, make_line: Callable[[Fields], bytes], fields: Fields) -> None:
        """Write a request's line, which is made when it is written.

        :param make_line: makes it of the members; it may be called in another thread.
        """
        if self.at_once or self.is_text:  # people read a clock
            self.lines.add(make_line(fields), self.at_once)
        else:
            self.lines.note((make_line, fields))

    def request_line(self, fields: Fields) -> bytes:
        named = renamed(fields, self.names) if self.names else fields
        line = None if self.is_text else as_harmless_json(named)
        return self.line(harmless(fields)) if line is None else line

    def line(self, fields: Fields) -> bytes:
        fields = renamed(fields, self.names) if self.names else fields
        return fit(fields, self.render, self.size)

    def drop(self) -> None:
        """Count a line that could not be made."""
        self.lines.drop(self.at_once)


def open_lines(key: str, path: object, is_test: bool) -> Lines:
    """:param path: "-" for standard output, in a test wherever sys.stdout is then.
    :raises ValueError: if it cannot be opened.
    """
    if path in ("-", "/dev/stdout"):  # opened anew, a file would be written from its beginning
        return lines_to_standard_output(is_test)
    example = "- or /var/log/service.log"
    if not isinstance(path, str | os.PathLike):
        refuse(key, path, "is not a path", example)
    try:
        return lines_to_file(os.fspath(path))
    except (OSError, ValueError) as error:  # ValueError: a null character
        why = getattr(error, "strerror", error)
        refuse(key, path, f"is not a file that can be written to ({why})", example)


def read_names(config: Config, key: str, known: Iterable[str]) -> dict[str, str]:
    """Other names for members of a line.

    :raises ValueError: if a member is not known, or two would have one name.
    """
    known = list(dict.fromkeys(known))
    example = '{"level": "severity"}'
    names = read_mapping(config, key, example)
    for name, other in names.items():
        if name not in known:
            refuse(key, name, f"is not a member of a line{did_you_mean(name, known)}", example)
        if not isinstance(other, str) or not other.isprintable() or not other:
            refuse(key, other, "is not a name", example)
    shown = [names.get(name, name) for name in known]
    if twice := {name for name in shown if shown.count(name) > 1}:
        refuse(key, min(twice), "is the name of two members", example)
    return names
