# The lab's commands. Everything lives in .venv; nothing outside this folder is touched.
VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?= python3
UV     := $(shell command -v uv 2>/dev/null)
ARGS   ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1

ifeq ($(UV),)
  MAKE_VENV = $(PYTHON) -m venv $(VENV)
  INSTALL   = $(BIN)/python -m pip install --quiet --require-hashes -r
  EDITABLE  = $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
else
  MAKE_VENV = $(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
  INSTALL   = $(UV) pip install --quiet --python $(BIN)/python --require-hashes -r
  EDITABLE  = $(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
endif

.PHONY: help lab install dev test test-slow check format bench lock clean

help: ## Show these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

lab: install ## Install what is pinned, start the lab, print its address
	@$(BIN)/lab up $(ARGS)

install: $(VENV)/.lab
dev: $(VENV)/.dev

$(BIN)/python:
	$(MAKE_VENV)

$(VENV)/.lab: requirements/lab.txt pyproject.toml | $(BIN)/python
	$(INSTALL) requirements/lab.txt
	$(EDITABLE)
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(INSTALL) requirements/dev.txt
	$(EDITABLE)
	@touch $@ $(VENV)/.lab

test: dev ## Run the tests (under ten minutes on two cores)
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

test-slow: dev ## Run the long tests and the ones that need Chromium
	$(BIN)/pytest -m 'slow or browser' $(ARGS)

check: dev ## Lint, formatting and strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: dev ## Apply the formatter and the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: dev ## Run every benchmark and write benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks $(ARGS)

bench-%: dev ## Run one benchmark: bench-simulator, bench-historian, bench-pipeline, bench-api, bench-scoring, bench-detection, bench-selection, bench-corrosion
	$(BIN)/python -m benchmarks $* $(ARGS)

lock: ## Write the lock files again (needs uv and a network)
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header requirements/build.in pyproject.toml -o requirements/lab.txt
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header requirements/build.in pyproject.toml --extra influx -o requirements/influx.txt
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header requirements/build.in pyproject.toml --extra influx --extra numba --extra test --extra dev -o requirements/dev.txt

clean: ## Remove what the tools left behind (the lab's data stays)
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
