"""`flask check`, and its report: a table of the routes, and the risks."""

from __future__ import annotations

import dataclasses
import json

import click
from flask import current_app
from flask.cli import with_appcontext

from app.checks.finding import Finding, findings, silenced
from app.checks.service import Service


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="For a program.")
@click.pass_context
@with_appcontext
def check_command(context: click.Context, as_json: bool) -> None:
    """Print every route and every risk; exit status 1 where production would not start."""
    service = Service(current_app)
    found = findings(service)
    click.echo(as_data(service, found) if as_json else as_text(service, found))
    context.exit(int(any(f.level == "error" for f in found)))


def as_data(service: Service, found: list[Finding]) -> str:
    routes = [
        {
            **dataclasses.asdict(route),
            "scopes": None if route.scopes is None else sorted(route.scopes),
            "callers": route.callers(service.has_authentication),
        }
        for route in service.routes
    ]
    report = {
        "production": service.is_production,
        "clients": believed(service),
        "routes": routes,
        "findings": [f.as_dict() for f in found],
    }
    return json.dumps(report, indent=2)


def as_text(service: Service, found: list[Finding]) -> str:
    lines = [*table(route_rows(service)), "", f"A client's address is {believed(service)}.", ""]
    for f in found:
        lines += [f"{f.level.upper()} {f.code}: {f.reason}", f"    {f.remedy}"]
    if not found:
        lines.append("No risk found.")
    if codes := silenced(service):
        lines.append(f"Silenced: {', '.join(codes)}")
    if not service.is_production:
        lines.append("This is not production, where more is checked: flask --app wsgi check")
    return "\n".join(lines)


def believed(service: Service) -> str:
    """Whose address the service takes for the client's."""
    hops = service.config.get("TRUSTED_PROXIES") or 0
    if not hops or "proxy" not in service.configured:
        return "the address that connects; X-Forwarded-* is ignored (TRUSTED_PROXIES=0)"
    entry = "last entry" if hops == 1 else f"entry {hops} from the end"
    return f"the {entry} of X-Forwarded-For, as for -Proto and -Host (TRUSTED_PROXIES={hops})"


def route_rows(service: Service) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("METHOD", "PATH", "CALLERS", "LIMITS", "BODY", "CORS")]
    for route in service.routes:
        limits = "per request" if service.limits and route.limits is None else "none"
        rows.append(
            (
                route.method,
                route.path,
                route.callers(service.has_authentication),
                "; ".join(route.limits or ()) or limits,
                f"{route.body_limit} bytes" if route.body_limit else "-",
                "yes" if route.cors else "-",
            )
        )
    return rows


def table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
