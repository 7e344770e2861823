"""Prints what drheader says about each URL given, as JSON."""

import json
import sys

from drheader import Drheader  # type: ignore[import-not-found]  # in a venv of its own

print(
    json.dumps(
        {
            url: Drheader(url=url, method="get").analyze(cross_origin_isolated=True)
            for url in sys.argv[1:]
        }
    )
)
