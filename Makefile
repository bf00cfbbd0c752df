# Only Python and make are needed: uv comes from the PATH, or else into .venv-tools; uv then fills .venv from uv.lock.

PYTHON ?= python3
N ?= 2000
ROWS ?= 10000,100000,1000000
ROUNDS ?= 5
BENCH ?=
ON ?= engines
ifeq ($(firstword $(shell uv --version 2>/dev/null || true)),uv)
UV := uv
else
UV := .venv-tools/bin/uv
UV_INSTALLED := .venv-tools/.installed
endif
RUN := $(UV) run --no-sync
PYTEST := PYTHONDONTWRITEBYTECODE= $(RUN) pytest # the next run finds what this one compiles

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-all agree check fmt types docs reference pictures bench peers budgets

help:  ## Show this list
	@echo "make TARGET, where TARGET is one of:"
	@sed -n 's/^\([a-z-]*\):.*##/  \1:/p' Makefile

demo: .venv/.demo  ## See Metaxy work on small real files
	$(RUN) mx demo

test: .venv/.test  ## Run the fast tests
	$(PYTEST) -n 2 --dist worksteal --durations=20 -m "not slow"

test-slow: .venv/.dev  ## Run the slow tests: other type checkers, kills, many writers, more stores in depth
	$(PYTEST) -n 2 --dist worksteal --durations=20 -m slow

test-all: .venv/.dev  ## Run all tests at once: they are collected, and servers started, only once
	$(PYTEST) -n 2 --dist worksteal --durations=40

agree: .venv/.test  ## Compare engines with the plain-Python reference on N generated cases (N=20000), or stores (ON=postgresql, ON=stores)
	METAXY_AGREE=$(N) METAXY_AGREE_ON=$(ON) $(PYTEST) -n 2 tests/agreement

check: .venv/.dev  ## Check format, lint, types, the lock file and the workflow
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) mypy
	$(UV) lock --check
	$(RUN) python .ci/check_workflows.py

fmt: .venv/.dev  ## Format the code, and fix what ruff can fix
	$(RUN) ruff check --fix
	$(RUN) ruff format

types: .venv/.dev  ## Check types: mypy on everything, pyright and ty on user code
	$(RUN) mypy
	$(PYTEST) tests/typing

docs: .venv/.docs  ## Build the site into site/, and run the code of the README and the pages of docs/
	$(RUN) zensical build --strict --clean
	$(PYTEST) tests/docs

reference: .venv/.docs  ## Write the tables of docs/reference.md and docs/stores.md anew, from code and tests
	$(RUN) python -m tests.docs.reference

pictures: .venv/.test  ## Draw the pictures under docs/assets/ anew, from the demo
	$(RUN) python -m tests.docs.pictures

bench: .venv/.dev  ## Measure all engines beside hand-written code and metaxy 0.1.11 (make bench ROWS=100000 ROUNDS=3)
	$(RUN) python benchmarks/run.py --rows $(ROWS) --rounds $(ROUNDS) $(BENCH)

peers: .venv/.dev  ## Measure the same work with DataChain and Pixeltable
	$(RUN) python benchmarks/peers.py --rounds $(ROUNDS)

budgets: .venv/.dev  ## Measure the CPU time of import, help and versions against their limits
	$(RUN) python benchmarks/budgets.py

# One file marks each state of .venv; a changed lock file makes all of them old. --inexact keeps what others installed;
# what is for development has everything.

.venv/.demo: pyproject.toml uv.lock | $(UV_INSTALLED)
	$(UV) sync --frozen --inexact --no-default-groups --extra demo
	@touch $@

.venv/.test: pyproject.toml uv.lock | $(UV_INSTALLED)
	$(UV) sync --frozen --inexact --no-default-groups --group test --all-extras --compile-bytecode
	@touch $@

.venv/.docs: pyproject.toml uv.lock | $(UV_INSTALLED)
	$(UV) sync --frozen --inexact --no-default-groups --group test --group docs --all-extras --compile-bytecode
	@touch $@

.venv/.dev: pyproject.toml uv.lock | $(UV_INSTALLED)
	$(UV) sync --frozen --all-groups --all-extras --compile-bytecode
	@touch .venv/.demo .venv/.test .venv/.docs $@

.venv-tools/.installed:
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet uv
	@touch $@
