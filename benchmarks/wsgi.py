"""What a server loads to serve one contender: BENCH_CONTENDER and BENCH_SETTINGS say which."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path

from benchmarks.contenders import build
from benchmarks.duties import Settings

_settings = json.loads(os.environ["BENCH_SETTINGS"])
_settings["log"] = Path(_settings["log"])
app = build(os.environ["BENCH_CONTENDER"], Settings(**_settings))
gc.collect()
gc.freeze()  # as the service's wsgi.py does; every contender in Python gains by it
