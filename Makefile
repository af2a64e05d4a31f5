# make demo, make run, make test: each makes .venv first, from the pinned constraints.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := demo

.PHONY: install demo run test lint doctor clean

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

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo-out
