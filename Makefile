# Every target sets itself up in .venv; a stamp file there spares the next one the wait.
# PYTHON=... picks the interpreter (3.11 or newer), T=... the tests, ARGS=... goes to the program that is run.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
RUN := .venv/.run
DEV := .venv/.dev
# Tests start hundreds of programs: each would compile all it imports where nothing may be kept.
KEPT := PYTHONDONTWRITEBYTECODE=
T ?= tests
PAGE ?=
ARGS ?=

.PHONY: demo test check bench faults faults-long docs clean
.DEFAULT_GOAL := test

demo: $(RUN)  ## a master, two workers and a first job on this machine
	$(BIN)/taskgrid demo $(ARGS)

test: $(DEV)  ## all tests, several at a time; T=tests/unit for one floor, ARGS=-n0 for one after the other
	$(KEPT) $(BIN)/python -m pytest -n auto --dist worksteal $(T) $(ARGS)

check: $(DEV)  ## style, types, the ladder of imports, links and generated pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/python docs/generate.py --check
	$(BIN)/python -m pytest -q tests/architecture

bench: $(RUN)  ## the figures of the README, measured here
	$(BIN)/python benchmarks/run.py $(ARGS)

faults: $(DEV)  ## what breaks, when, and what must hold; PAGE=docs/faults.md writes what came of it
	TASKGRID_FAULTS=full TASKGRID_FAULTS_PAGE=$(PAGE) $(BIN)/python -m pytest $$($(BIN)/python tests/faults/matrix.py) $(ARGS)

faults-long: $(DEV)  ## the same for hours, from TASKGRID_SEED on
	TASKGRID_FAULTS=long TASKGRID_FAULTS_PAGE=$(PAGE) $(BIN)/python -m pytest $$($(BIN)/python tests/faults/matrix.py) $(ARGS)
	TASKGRID_FAULTS=long $(BIN)/python -m pytest tests/simulation $(ARGS)

docs: $(DEV)  ## write the generated pages of docs/reference
	$(BIN)/python docs/generate.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	find . -name __pycache__ -prune -exec rm -rf {} +

$(RUN): pyproject.toml
	@test -n "$(PYTHON)" || { echo 'TaskGrid needs Python 3.11 or newer: make PYTHON=/path/to/python3'; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV): $(RUN)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,check]'
	@touch $@
