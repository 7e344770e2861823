"""Metrics as a monitor reads them."""

from __future__ import annotations

import http.client
from collections import Counter
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

TOKEN = "a-monitor-of-these-tests-0a1B2c3D4e5F6g7H"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ON = {"FLASK_METRICS_TOKEN": TOKEN}
REQUESTS = "http_request_duration_seconds_count"


def scrape(port: int, path: str = "/metrics") -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers=BEARER)
    with connection.getresponse() as response:
        text = response.read().decode()
    connection.close()
    assert response.status == 200, text
    return text


def values(text: str, name: str) -> Counter[tuple[str, ...]]:
    """The samples of this name that are not 0, by the values of their labels."""
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    found = {tuple(one.labels.values()): int(one.value) for one in samples if one.name == name}
    return Counter({labels: value for labels, value in found.items() if value})


def series(text: str) -> set[tuple[str, ...]]:
    """The name of each metric with the values of its labels; buckets are not told apart."""
    return {
        (family.name, *(value for label, value in sorted(one.labels.items()) if label != "le"))
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def folders(of: str = "metrics-*") -> set[Path]:
    """Where workers of running services count together."""
    return set(Path("/dev/shm").glob(of))
