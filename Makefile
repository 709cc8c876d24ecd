# make quickstart and make test do everything on a machine that has Python 3.11 or newer and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: help quickstart test check format lint types bench docs wheel clean

help:
	@echo "make quickstart   set up, then plan, infer and recover a reward; opens nothing, writes runs/quickstart"
	@echo "make test         set up, then run the tests"
	@echo "make check        format, lint, types, import direction and tests: what continuous integration runs"
	@echo "make bench        timings against peers (benchmarks/README.md says which, and how to install them)"
	@echo "make docs         build the documentation"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.run: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

quickstart: $(VENV)/.run
	$(BIN)/maxentrl quickstart --out runs/quickstart

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS)

check: lint types test

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

$(VENV)/.bench: $(VENV)/.dev benchmarks/peers.txt
	$(BIN)/python -m pip install --quiet -r benchmarks/peers.txt
	@touch $@

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build

$(VENV)/.docs: $(VENV)/.run
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	@touch $@

wheel: $(VENV)/.dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist docs/_build .pytest_cache .ruff_cache .hypothesis
