# The commands of the project. `make venv` is what all begin with; `make test` and `make demo` are the two of the README.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
PYTEST := $(BIN)/python -m pytest
PIP := $(BIN)/pip install -q --disable-pip-version-check
NATIVE := $(shell find core/abi/src core/c/src plugins/*/c -name '*.[ch]' -type f 2>/dev/null) \
	$(wildcard core/native_build.py core/setup.py plugins/*/native_build.py plugins/*/setup.py)
METADATA := $(wildcard pyproject.toml core/pyproject.toml core/abi/pyproject.toml plugins/*/pyproject.toml)

.PHONY: venv demo test acceptance interop test-vm bench lint sanitize clean system-packages

venv: $(VENV)/.native

# What a build needs of the system: installed through apt where that is allowed, else named.
system-packages:
	@$(PYTHON) -c 'import sysconfig, pathlib, sys; \
		sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())' 2>/dev/null \
		&& command -v cc >/dev/null || tools/install-packages python3-dev python3-venv gcc

$(VENV)/.packages: $(METADATA) | system-packages
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) 'setuptools>=77' wheel 'cffi>=1.17' build
	$(PIP) --no-build-isolation -e core/abi
	$(PIP) --no-build-isolation --no-deps $(PLUGINS:%=-e %)
	$(PIP) --no-build-isolation -e 'core[testing]'
	$(PIP) pytest pytest-timeout hypothesis ruff mypy
	@touch $@

$(VENV)/.native: $(VENV)/.packages $(NATIVE)
	cd core && ../$(BIN)/python setup.py -q build_ext --inplace
	@for plugin in $(PLUGINS); do (cd $$plugin && ../../$(BIN)/python setup.py -q build_ext --inplace) || exit 1; done
	@touch $@

demo: venv
	$(BIN)/framelane demo

test: venv
	$(PYTEST) -m "not acceptance and not interop and not vm"

acceptance: venv
	$(PYTEST) -m acceptance --timeout 7200

# Stock peers are built outside the repository; PEERS names the folder that holds their programs.
interop: venv
	@test -n "$(PEERS)" || { echo "make interop PEERS=DIR: DIR holds the stock programs (aeronmd, AeronStat, ...)" >&2; exit 2; }
	PEERS="$(abspath $(PEERS))" $(PYTEST) -m interop --timeout 1800

# Boots Debian's kernel in software emulation; needs root, for the bind mount that is the machine's root.
VM_PACKAGES := qemu-system-x86 linux-image-amd64 busybox-static cpio kmod iproute2 iputils-ping dpdk-dev
test-vm: venv
	@dpkg -s $(VM_PACKAGES) >/dev/null 2>&1 || tools/install-packages $(VM_PACKAGES)
	$(PYTEST) -m vm

bench: venv
	$(BIN)/framelane bench frames
	$(BIN)/framelane bench throughput
	$(BIN)/framelane bench latency
	$(BIN)/framelane bench ipc

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy core/src core/abi/src $(PLUGINS:%=%/src)

sanitize: venv
	tools/sanitize address
	tools/sanitize thread

clean:
	rm -rf $(VENV) build core/build core/abi/build plugins/*/build
	find . -name '*.so' -not -path './.git/*' -delete
