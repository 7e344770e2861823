# make run    bakes the default service into build/ and serves it on http://127.0.0.1:5000
# make test   the template's tests and the service's;  make soak: the same at full size, minutes each
# make test-real   what needs containers (our engine wants root and Debian), linters or more packages
# make lint   ruff, ruff format and mypy, on both;     make bench: the figures of benchmarks/
#
# Python 3.10 or newer and make are all that they need. Paths are relative: names may have blanks.

PYTHON ?= python3
PORT ?= 5000
# one more than processors: many tests wait for a server
WORKERS ?= $(shell $(BIN)/python -c 'import os; print((os.cpu_count() or 1) + 1)')
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
SERVICE := {{cookiecutter.project_slug}}
# for tests, which call make themselves: not as a part of this one
CLEAN := env -u ARGS -u MAKEFLAGS -u MAKELEVEL

# a file written into the service's folder here would be baked into every service
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help run bake test test-real soak bench lint clean

help:
	@sed -n 's/^# \(make\)/\1/p' Makefile

run: bake
	@$(MAKE) --no-print-directory -C build/flask-service run PYTHON='$(PYTHON)' PORT=$(PORT)

bake: .venv/run.toml
	@$(BIN)/python -m cookiecutter . --no-input --default-config --overwrite-if-exists --output-dir build > build.log 2>&1 \
	  || { cat build.log; exit 1; }
	@rm -f build.log

test: .venv/dev.toml
	@$(CLEAN) $(BIN)/python -m pytest -p no:cacheprovider -n $(WORKERS) --dist worksteal $(ARGS)

test-real: .venv/real.toml
	@$(CLEAN) $(BIN)/python -m pytest -p no:cacheprovider -m real $(ARGS)

soak: .venv/dev.toml
	@$(CLEAN) $(BIN)/python -m pytest -p no:cacheprovider -m soak $(ARGS)

bench: .venv/dev.toml
	@$(BIN)/python -m benchmarks $(ARGS)

lint: .venv/dev.toml
	@$(BIN)/python -m ruff check --cache-dir .ruff_cache .
	@$(BIN)/python -m ruff format --check --cache-dir .ruff_cache .
	@$(BIN)/python -m mypy cookiecutter_flask_middleware.py hooks/pre_gen_project.py tests benchmarks
	@$(BIN)/python -m mypy hooks/post_gen_project.py
	@cd '$(SERVICE)' && ../$(BIN)/python -m mypy --cache-dir ../.mypy_cache/service

clean:
	@rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +

# Each is a copy of the pyproject.toml that was installed: it is compared, not its time.
.venv/run.toml: EXTRA :=
.venv/dev.toml: EXTRA := [dev]
.venv/real.toml: EXTRA := [dev,company]
.venv/%.toml: pyproject.toml FORCE
	@cmp -s pyproject.toml $@ || { \
	  "$(PYTHON)" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	    echo '$(PYTHON) is no Python 3.10 or newer with venv (on Debian: apt install python3-venv).' \
	      'Name another: make PYTHON=python3.12' >&2; exit 1; }; \
	  echo 'Installing into .venv ...'; \
	  { test -x $(BIN)/python || "$(PYTHON)" -m venv .venv; } \
	  && $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.$(EXTRA)' > .venv/install.log 2>&1 \
	  && cp pyproject.toml $@ || { cat .venv/install.log >&2; exit 1; }; }

.PHONY: FORCE
FORCE:
