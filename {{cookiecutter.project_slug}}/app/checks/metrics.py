"""Who may read the metrics, and whether they are the whole service's. ASVS 5.0 13.2.3."""

from __future__ import annotations

from collections.abc import Iterator

from app.checks.finding import Finding, in_production
from app.checks.service import Service
from app.checks.sessions import PLACEHOLDER, is_guessable, published_keys

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
OF_SEVERAL = {"gunicorn", "Granian", "uWSGI", "mod_wsgi"}  # servers that may have more processes


@in_production
def metrics_token(service: Service) -> Iterator[Finding]:
    token = str(service.config.get("METRICS_TOKEN") or "")
    if not token:
        return
    remedy = "make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
    if token in published_keys() or PLACEHOLDER.search(token) or is_guessable(token):
        yield Finding("E018", "METRICS_TOKEN is one that others know, or can guess", remedy)
    if token == service.config["SECRET_KEY"]:
        yield Finding("E018", "METRICS_TOKEN is SECRET_KEY, and a monitor would know it", remedy)


@in_production
def metrics_of_one_worker(service: Service) -> Iterator[Finding]:
    if "metrics" not in service.configured or service.environ.get(FOLDER):
        return
    told = service.environ.get("GRANIAN_WORKERS", "")
    if service.server in OF_SEVERAL or (told.isdecimal() and int(told) > 1):
        reason = f"{FOLDER} is not set: of several workers each one's metrics stand alone"
        remedy = f"set {FOLDER} to an empty folder; gunicorn.conf.py does for FLASK_METRICS_TOKEN"
        yield Finding("W054", reason, remedy)
