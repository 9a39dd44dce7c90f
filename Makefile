# Every target brings what it needs: a Python environment in .venv with the exact packages of constraints*.txt.

VENV    ?= .venv
PY      := $(VENV)/bin/python
RUN     := $(VENV)/.ready-to-run
DEV     := $(VENV)/.ready-to-develop
WORKERS ?= 2
ARGS    ?=
export VENV PYTHON

.DEFAULT_GOAL := help
.PHONY: help demo test lint format pytest bench constraints clean

help: ## this list
	@echo "usage: make TARGET [ARGS='...'] [PYTHON=/path/to/python3.12]"
	@echo
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s%s\n", $$1, $$2 }'

# What running takes; what working on it takes contains that.
$(RUN): constraints.txt pyproject.toml .ci/setup
	@.ci/setup venv constraints.txt
	@touch $@

$(DEV): constraints-dev.txt pyproject.toml .ci/setup
	@.ci/setup venv constraints-dev.txt
	@touch $(RUN) $@

demo: $(RUN) ## five simulated devices, the daemon and a live view of both (ARGS='--seconds 20')
	@$(VENV)/bin/connmgr demo $(ARGS)

test: $(DEV) ## everything: lint, types, imports, all tests
	@.ci/setup packages
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory pytest

lint: $(DEV) ## style, formatting, types and import rules
	@echo "==> ruff"
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet . || { echo "the files above are not formatted: make format"; exit 1; }
	@echo "==> mypy"
	@$(PY) -m mypy
	@echo "==> import rules"
	@$(VENV)/bin/lint-imports --no-logo

format: $(DEV) ## formatting and the fixes ruff makes by itself
	@$(PY) -m ruff check --fix-only --quiet .
	@$(PY) -m ruff format .

pytest: $(DEV) ## the tests alone (ARGS='tests/unit -k backoff', WORKERS=0 for one process)
	@echo "==> pytest"
	@NODE_PATH=$(abspath $(VENV))/foreign/node_modules $(PY) -m pytest -n $(WORKERS) --durations=10 $(ARGS)

bench: $(RUN) ## the measurements of docs/performance.md, on this machine: ten minutes (ARGS=--quick: one)
	@$(PY) -m benchmarks $(ARGS)

constraints: ## resolve constraints.txt again from pyproject.toml
	@.ci/setup constraints

clean: ## remove the environment and everything that was produced
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
