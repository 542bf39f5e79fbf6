# The commands of the project. `make venv` is what all begin with.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := plugins/sockets
NATIVE_SOURCES := $(shell find core/abi/src core/c core/native_build.py core/setup.py plugins/*/c plugins/*/*.py \
	\( -name '*.c' -o -name '*.h' -o -name '*.py' \) -type f 2>/dev/null)
METADATA := $(wildcard pyproject.toml core/pyproject.toml core/abi/pyproject.toml plugins/*/pyproject.toml)
CFFI_SANITIZE :=

.PHONY: venv native demo test acceptance interop bench lint sanitize clean

venv: $(VENV)/.native

$(VENV)/.packages: $(METADATA)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check 'setuptools>=77' wheel 'cffi>=1.17' build
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation -e core/abi
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation --no-deps $(PLUGINS:%=-e %)
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation -e 'core[testing]'
	$(BIN)/pip install -q --disable-pip-version-check pytest pytest-timeout hypothesis ruff mypy
	@touch $@

$(VENV)/.native: $(VENV)/.packages $(NATIVE_SOURCES)
	cd core && ../$(BIN)/python setup.py -q build_ext --inplace
	@for plugin in $(PLUGINS); do (cd $$plugin && ../../$(BIN)/python setup.py -q build_ext --inplace) || exit 1; done
	@touch $@

test: venv
	$(BIN)/python -m pytest -m "not acceptance and not interop"

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy core/src core/abi/src plugins/sockets/src

clean:
	rm -rf $(VENV) build core/build core/abi/build plugins/*/build
	find . -name '*.so' -not -path './.git/*' -delete
