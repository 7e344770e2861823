"""`flask check`: every route and every risk, for a person; production refuses to start on an error.

    flask --app wsgi check           # production, as wsgi.py loads it; exit status 1 on an error
    flask --app wsgi check --json    # the same for a program

Key              Default  Meaning (unit)
---------------  -------  --------------------------------------------------------------------
PRODUCTION       False    check at start as well: refuse on errors, log the warnings in one line;
                          True in ProductionConfig, which wsgi.py loads
CHECKS_SILENCED  []       identifiers of risks that are accepted: ["W002"], or W002,W005

A check is a function that takes the Service and yields findings. Add yours to the file of its
subject here, or to a new file here (files are found by themselves):

    @in_production
    def backups(service: Service) -> Iterator[Finding]:
        if not service.config.get("BACKUP_URL"):
            yield Finding("W901", "nothing is backed up", "set FLASK_BACKUP_URL")

What the checks know of the middleware they read from the configured application, so that a deleted
file breaks nothing. A number is never given to another risk; those from 900 on are yours.
"""

from __future__ import annotations

import importlib
import pkgutil

from flask import Flask

from app.checks.command import check_command
from app.checks.finding import findings
from app.checks.service import Service
from app.middleware.engine.settings import SettingError, is_command

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")


def configure_checks(app: Flask) -> None:
    """Register `flask check`; with PRODUCTION, hold the application to it now.

    :raises ValueError: with all errors, in production, unless a command other than `flask run`
        loads the application: those serve nobody.
    """
    app.cli.add_command(check_command)
    if is_command():
        return
    service = Service(app)
    found = findings(service, at_start=True)
    errors = [f"{f.code}: {f.reason}; {f.remedy}" for f in found if f.level == "error"]
    if errors:
        raise SettingError("\n  ".join(["production refuses to start:", *errors]))
    warnings = [f"{f.code} {f.reason}" for f in found if f.level == "warning"]
    if warnings:
        app.logger.warning("flask check says: %s", "; ".join(warnings))
