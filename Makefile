# One set-up, used by people and by CI alike. PYTHON picks the interpreter: make demo PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq --constraint constraints.txt
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
JOBS ?= 2

OUT ?= wrong-reason

.PHONY: demo test test-fast check lint types bench judgement zoo story clean

demo: $(VENV)/.demo
	@$(BIN)/seewhy demo

test: $(VENV)/.dev
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS)

test-fast: $(VENV)/.dev
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS) -m "not slow"

check: lint types test

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

judgement: $(VENV)/.bench
	$(ONE_THREAD) $(BIN)/python -m benchmarks judgement

story: $(VENV)/.dev
	@test -n "$(DATA)" || { echo "expected: make story DATA=folder of CIFAR-10's train.parquet and test.parquet" >&2; exit 2; }
	examples/wrong-reason.sh $(DATA) $(OUT)

zoo: $(VENV)/.dev
	$(BIN)/python -m benchmarks.zoo

clean:
	rm -rf $(VENV) seewhy-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "seewhy needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# Each stamp is newer than what it was made from, so that an edited dependency list installs again.
$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.bench: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev,bench]'
	@touch $@
