"""`flask api-key`: makes, lists and revokes keys. Configuration holds hashes only."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from io import StringIO
from json import dumps
from pathlib import Path
from typing import Any

import click

from .api_keys import Callers, make_key, read_callers
from .credentials import digest_of

WRITE = click.option("--write", is_flag=True, help="Write the line into .env.")


class KeyCommands(click.Group):
    """`flask api-key NAME` is `flask api-key new NAME`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["new", *args]
        return super().parse_args(ctx, args)


def key_commands(key: str, callers: Callers) -> click.Group:
    """:param key: the configuration key that holds the callers."""

    @click.group("api-key", cls=KeyCommands)
    def group() -> None:
        """Make, list and revoke API keys: flask api-key NAME makes one."""

    @group.command()
    @click.argument("name")
    @click.option("--scope", "scopes", multiple=True, help="What it may do; repeat it for more.")
    @click.option("--limits", help='Rate limits of its own: "1000 per hour".')
    @WRITE
    def new(name: str, scopes: Sequence[str], limits: str | None, write: bool) -> None:
        """Make a key for a new caller, or one more for a caller that changes its key."""
        made = make_key(name)
        caller = _with_key(callers.get(name), digest_of(made).hex(), scopes, limits)
        changed = _check(key, {**callers, name: caller})
        click.echo(f"The key of {name}, shown this once:", err=True)
        click.echo(made)
        _hand_over(key, changed, write)
        _say_how_to_change_over(name, caller["keys"])

    @group.command("list")
    def show() -> None:
        """List the callers, the first digits of their keys' hashes, scopes, limits, tier."""
        for name, caller in callers.items():
            click.echo(_as_row(name, caller))
        if not callers:
            click.echo("There are no keys: authentication is off.", err=True)

    @group.command()
    @click.argument("name")
    @click.option("--key", "start", help="Only the key whose hash begins so; `list` shows it.")
    @WRITE
    def revoke(name: str, start: str | None, write: bool) -> None:
        """Take a caller's keys away, or one of them."""
        _hand_over(key, _check(key, _without(callers, name, start)), write)

    return group


def _with_key(
    known: dict[str, Any] | None, digest: str, scopes: Sequence[str], limits: str | None
) -> dict[str, Any]:
    """:param known: the caller as it was, None for a new one."""
    caller = dict(known or {"keys": [], "scopes": []})
    caller["keys"] = [*caller["keys"], digest]
    caller["scopes"] = list(dict.fromkeys([*caller["scopes"], *scopes]))
    return caller if limits is None else caller | {"limits": limits}


def _say_how_to_change_over(name: str, keys: Sequence[str]) -> None:
    if len(keys) > 1:
        remedy = f"flask api-key revoke {name} --key {keys[0][:8]}"
        click.echo(f"{name} has {len(keys)} keys now; then: {remedy}", err=True)


def _as_row(name: str, caller: dict[str, Any]) -> str:
    hashes = " ".join(digest[:8] for digest in caller["keys"])
    scopes = " ".join(caller["scopes"]) or "no scopes"
    own = [caller.get("limits"), f"tier {caller['tier']}" if "tier" in caller else None]
    return "  ".join([name, hashes, scopes, *filter(None, own)])


def _without(callers: Callers, name: str, start: str | None) -> Callers:
    if name not in callers:
        raise click.ClickException(f"{name} is not one of {', '.join(callers) or 'no callers'}.")
    kept = [k for k in callers[name]["keys"] if start and not k.startswith(start.lower())]
    if start and len(kept) != len(callers[name]["keys"]) - 1:
        raise click.ClickException(f"{start} does not begin the hash of exactly one key of {name}.")
    rest = {other: caller for other, caller in callers.items() if other != name or kept}
    if kept:
        rest[name] = {**rest[name], "keys": kept}
    if not rest:
        raise click.ClickException(
            "This is the last key, and without any authentication is off: every route is open. "
            "Make another key first, or remove the line by hand if that is what you want."
        )
    return rest


def _check(key: str, callers: Callers) -> Callers:
    try:
        return read_callers(key, callers)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _hand_over(key: str, callers: Callers, write: bool) -> None:
    # Quoted for shells, python-dotenv, compose and systemd. docker --env-file keeps the quotes, and
    # they are taken off when the value is read.
    line = f"FLASK_{key}='{dumps(callers, separators=(',', ':'))}'"
    if not write:
        click.echo("The line for .env, in place of the old one (it holds hashes only):", err=True)
        click.echo(line)
        return
    try:
        path = write_line(line)
    except OSError as error:
        problem = f".env cannot be written ({error.strerror})"
        raise click.ClickException(f"{problem}; write this by hand: {line}") from None
    click.echo(f"{path} has the new line; restart the service.", err=True)


def write_line(line: str) -> Path:
    """Put NAME='value' in the place of the line that sets NAME in .env, or at its end.

    :returns: the file: the one that `flask` reads, which is found in this folder or above it.
    :raises click.ClickException: if the file would not say that afterwards, or has a line that this
        process has not read: of a key that was made meanwhile, say.
    """
    try:
        import dotenv
    except ImportError:
        raise click.ClickException(
            "--write needs python-dotenv: pip install python-dotenv"
        ) from None
    name, _, value = line.partition("=")
    path = Path(dotenv.find_dotenv(usecwd=True) or ".env").absolute()
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    before = dotenv.dotenv_values(stream=StringIO(old))
    setting = re.compile(rf"^(?:export[ \t]+)?{name}[ \t]*=.*\n?", re.M)
    first = setting.search(old)
    start = first.start() if first else len(old)
    head, rest = old[:start], setting.sub("", old[start:])
    new = f"{head}{'' if not head or head.endswith(chr(10)) else chr(10)}{line}\n{rest}"
    if dotenv.dotenv_values(stream=StringIO(new)) != {**before, name: value.strip("'")}:
        raise click.ClickException(f"{path} cannot be changed safely; write this by hand: {line}")
    if os.environ.get(name) != before.get(name):  # `flask` has read the file into it
        problem = f"{path} does not say what {name} was when this command began"
        again = "if another one has changed the file, run this one again"
        where = f"if {name} is set in the environment, which comes before it, write there: {line}"
        raise click.ClickException(f"{problem}; {again}; {where}")
    _replace(path, new)
    return path


def _replace(path: Path, text: str) -> None:
    """Whole or not at all, and readable for whom it was readable before."""
    path = path.resolve()
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        if path.exists():
            before = path.stat()
            os.chmod(draft, before.st_mode & 0o777)
            if hasattr(os, "chown"):
                os.chown(draft, before.st_uid, before.st_gid)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
