"""Reads configuration keys; a wrong value is refused in one style of message.

    LOG_FORMAT: 'xml' is not one of json, text; for example json

Every reader takes the configuration, the key and the default. The default holds where the key is
missing, is None, or is empty text (FLASK_<KEY>= in .env); an empty text of a list is an empty list.
A value comes from Python, or as text or JSON from the environment (FLASK_<KEY>), so a list may be
text with commas, and a number may be text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from click import ClickException, get_current_context
from flask.cli import ScriptInfo

Config = Mapping[str, Any]

SHOWN = 80  # characters of a value in a message


class SettingError(ClickException, ValueError):
    """One of which the command line, `flask run` say, shows the message and no traceback."""


def is_command() -> bool:
    """Whether `flask <command>` loads the application, to serve nobody."""
    context = get_current_context(silent=True)
    if context is None or context.find_object(ScriptInfo) is None:
        return False
    return context.info_name != "run"


def refuse(key: str, value: object, problem: str, example: object) -> NoReturn:
    """:raises SettingError: always: which key, its value, what it is not and what to write."""
    shown = ascii(value)
    shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
    raise SettingError(f"{key}: {shown} {problem}; for example {example}")


def refuse_secret(key: str, problem: str, example: object) -> NoReturn:
    """The same, without the value: it may be a password or a key."""
    raise SettingError(f"{key}: {problem}; for example {example}")


def is_missing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def read_boolean(config: Config, key: str, default: bool) -> bool:
    value = config.get(key)
    if is_missing(value):
        return default
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text not in ("true", "false"):
        refuse(key, value, "is not true or false", str(default).lower())
    return text == "true"


def read_whole_number(
    config: Config,
    key: str,
    default: int,
    least: int = 1,
    most: int = 10**18,
    example: int | None = None,
) -> int:
    """:param least, most: the bounds, both allowed.
    :param example: a value for the message, where the default is not one."""
    value = config.get(key)
    if is_missing(value):
        return default
    text = "" if isinstance(value, bool) else str(value).strip()
    if not re.fullmatch(r"-?[0-9]{1,19}", text) or not least <= int(text) <= most:
        bounds = f"of at least {least}" if most == 10**18 else f"from {least} to {most}"
        example = default if example is None else example
        refuse(key, value, f"is not a whole number {bounds}", example)
    return int(text)


def read_seconds(
    config: Config, key: str, default: float, least: float = 0.0, most: float = 86400.0
) -> float:
    """:param least, most: the bounds in seconds, both allowed."""
    value = config.get(key)
    if is_missing(value):
        return default
    text = "" if isinstance(value, bool) else str(value).strip()
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not least <= float(text) <= most:
        refuse(key, value, f"is not a number of seconds from {least:g} to {most:g}", f"{default:g}")
    return float(text)


def read_text(
    config: Config, key: str, default: str, pattern: str = ".*", example: str = ""
) -> str:
    """:param pattern: a regular expression that the whole text has to match."""
    value = config.get(key)
    if is_missing(value):
        return default
    if not isinstance(value, str):
        refuse(key, value, "is not text", example or default)
    if not re.fullmatch(pattern, value.strip()):
        refuse(key, value, "is not of the form that is expected here", example or default)
    return value.strip()


def read_choice(config: Config, key: str, choices: Iterable[str]) -> str:
    """:param choices: the first one is the default; case does not matter."""
    names = list(choices)
    value = config.get(key)
    if is_missing(value):
        return names[0]
    for name in names:
        if str(value).strip().lower() == name.lower():
            return name
    refuse(key, value, f"is not one of {', '.join(names)}", names[0])


def read_list(
    config: Config, key: str, default: Iterable[str] = (), example: str | None = None
) -> list[str]:
    """A list of text, or text with commas, or a JSON list as text; empty items do not count."""
    default = list(default)
    value = config.get(key)
    if value is None:
        return default
    example = example or ", ".join(default)
    items = as_items(value)
    if items is None:
        refuse(key, value, "is not a list, or text with commas", example)
    for item in items:
        if not isinstance(item, str):
            refuse(key, item, "is not text", example)
    return [item.strip() for item in items if item.strip()]


def as_items(value: object) -> list[Any] | None:
    """The items of a list, or of text with commas; None if it is neither."""
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return value.split(",")
        value = from_json(value)
    return list(value) if isinstance(value, list | tuple | set | frozenset) else None


def read_mapping(config: Config, key: str, example: str) -> dict[str, Any]:
    """A mapping, or a JSON object as text."""
    value = config.get(key)
    if is_missing(value):
        return {}
    if isinstance(value, str):
        value = from_json(value)
    if not isinstance(value, Mapping):
        refuse(key, config[key], "is not a mapping", example)
    for name in value:
        if not isinstance(name, str):
            refuse(key, name, "is not text", example)
    return dict(value)


def read_function(config: Config, key: str, example: str) -> Any:
    """A function, which only Python can give; None if there is none."""
    value = config.get(key)
    if is_missing(value):
        return None
    if not callable(value):
        refuse(key, value, "is not a function", example)
    return value


def from_json(text: str) -> object:
    """What JSON text says; None if it is not JSON. Quotes around the whole are taken off: docker
    and systemd keep those of an .env file."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == "'":
        text = text[1:-1]
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return from_json(value) if isinstance(value, str) and value != text else value


def did_you_mean(name: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """`; did you mean X?`, or nothing.

    :param likeness: how near a name has to be, from 0 to 1.
    """
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)
    return f"; did you mean {near[0]}?" if near else ""
