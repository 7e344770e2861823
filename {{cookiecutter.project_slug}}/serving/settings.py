"""Reads what the environment tells gunicorn.conf.py; what is wrong ends the start in one line."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from dotenv import load_dotenv

EX_CONFIG = 78  # sysexits.h; the systemd unit does not start again after it


def load_environment() -> None:
    """What .env says, unless the environment says otherwise; values without a shell's quotes."""
    try:
        load_dotenv()
    except OSError as error:
        refuse(
            f".env: cannot be read by user {os.getuid()} ({error.strerror}): make it readable, or "
            "remove it and give the settings in the environment"
        )
    except UnicodeDecodeError as error:  # PowerShell's > writes UTF-16
        refuse(f".env: is not UTF-8 (byte {error.start + 1}): save it with the encoding UTF-8")
    for name, value in list(os.environ.items()):  # `docker run --env-file` keeps them
        if name.startswith("FLASK_") and len(value) > 1 and value[0] == value[-1] == "'":
            os.environ[name] = value[1:-1]


def number(name: str, default: float, least: float, most: float, unit: str) -> float:
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        refuse(
            f"{name}: {text!r} is not a number of {unit} from {least:g} to {most:g}, "
            f"for example {default:g}"
        )
    return value


def whole(name: str, default: int, least: int, most: int, unit: str) -> int:
    value = number(name, default, least, most, f"whole {unit}")
    if value != int(value):
        refuse(f"{name}: {value:g} is not a number of whole {unit}, for example {default}")
    return int(value)


def refuse(message: str) -> NoReturn:
    print(message, file=sys.stderr, flush=True)
    sys.exit(EX_CONFIG)
