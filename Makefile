# make demo, make run, make test: each makes .venv first, from the pinned constraints.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := demo

.PHONY: install demo run test test-fast coverage lint types doctor clean

install: $(VENV)/.installed

# torch first and alone: its pinned version has a CPU build, which nothing that comes after it may replace.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		(echo "Keepsake needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1)
	@echo "install: a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	@echo "install: the packages (a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: install
	@$(BIN)/keepsake demo

run: install
	@$(BIN)/keepsake up

doctor: install
	@$(BIN)/keepsake doctor

# Everything: real models, real processes, whole journeys. Under fifteen minutes on two cores.
test: install
	$(BIN)/python -m pytest

# What a change is tried with again and again: under ninety seconds.
test-fast: install
	$(BIN)/python -m pytest -m "not slow"

coverage: install
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered --cov-report=xml

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo-out
