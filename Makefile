# make demo, make run, make test: each makes .venv first, from pinned packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
.DEFAULT_GOAL := demo

.PHONY: install demo run test test-fast coverage lint types audit doctor clean

install: $(VENV)/.installed

# Every file that is installed has a hash in the repository: pip refuses any other. torch comes first, without CUDA where such
# a build is to be had.
$(VENV)/.installed: pyproject.toml requirements-dev.txt .ci/torch.txt .ci/torch-cpu.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		(echo "Keepsake needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1)
	@echo "install: a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --no-deps -r .ci/torch-cpu.txt 2>/dev/null || $(PIP) -r .ci/torch.txt
	@echo "install: the packages (a minute or two)"
	@$(PIP) --no-deps -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
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

# What we ship and build with: licences that we may use, no known vulnerability (where the index can be asked).
audit: install
	$(BIN)/python .ci/audit.py

clean:
	rm -rf $(VENV) demo-out
