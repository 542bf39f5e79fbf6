# The commands of the project. `make venv` is what all begin with; `make test` and `make demo` are the two of the README.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
PYTEST := $(BIN)/python -m pytest
PIP := $(BIN)/pip install -q --disable-pip-version-check
NATIVE := $(shell find core/abi/src core/c/src plugins/*/c plugins/*/src/*/c -name '*.[ch]' -type f 2>/dev/null) \
	$(wildcard core/abi/src/framelane_abi/build.py core/native_build.py core/setup.py plugins/*/native_build.py plugins/*/setup.py)
METADATA := $(wildcard pyproject.toml core/pyproject.toml core/abi/pyproject.toml plugins/*/pyproject.toml)

# Programs are started some thousand times; what they import need not be compiled each time, whatever the machine prefers.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: venv demo test acceptance interop test-vm bench lint sanitize clean vendor check-vendor-headers build-packages test-packages vm-packages

venv: build-packages $(VENV)/.native

# What is needed of the system: installed through apt where that is allowed, else named. tools/install-packages has the list.
build-packages:
	@PYTHON=$(PYTHON) tools/install-packages build plugins

test-packages:
	@PYTHON=$(PYTHON) tools/install-packages build plugins tests

vm-packages:
	@tools/install-packages vm

$(VENV)/.packages: $(METADATA) | build-packages
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) 'setuptools>=77' wheel 'cffi>=1.17' build
	$(PIP) --no-build-isolation -e core/abi
	$(PIP) --no-build-isolation --no-deps $(PLUGINS:%=-e %)
	$(PIP) --no-build-isolation -e 'core[testing]'
	$(PIP) pytest pytest-timeout pytest-xdist hypothesis scapy ruff mypy
	@touch $@

$(VENV)/.native: $(VENV)/.packages $(NATIVE)
	cd core && ../$(BIN)/python setup.py -q build_ext --inplace
	@for plugin in $(PLUGINS); do (cd $$plugin && ../../$(BIN)/python setup.py -q build_ext --inplace) || exit 1; done
	@touch $@

demo: venv
	$(BIN)/framelane demo

# Most tests wait for processes more than they compute, so two at a time fit on two cores; conftest.py says which may not
# run beside each other.
test: test-packages venv
	$(PYTEST) -n 2 --no-loadscope-reorder -m "not acceptance and not interop and not vm"

acceptance: test-packages venv
	$(PYTEST) -m acceptance --timeout 7200

# Stock peers are built outside the repository; PEERS names the folder that holds their programs.
interop: test-packages venv
	@test -n "$(PEERS)" || { echo "make interop PEERS=DIR: DIR holds the stock programs (aeronmd, AeronStat, ...)" >&2; exit 2; }
	PEERS="$(abspath $(PEERS))" $(PYTEST) -m interop --timeout 1800

# The stand-ins for vendors' libraries, into build/vendor: for tests only.
vendor:
	$(MAKE) -s -C tests/vendor/ciul DEST=$(CURDIR)/build/vendor/ciul

# docs/vendor-headers.md: compares the stand-ins for ef_vi and VMA, and the plugins, with the vendors' headers.
check-vendor-headers: venv
	@test -n "$(EF_VI_INCLUDE)$(VMA_INCLUDE)" || { echo "make check-vendor-headers EF_VI_INCLUDE=DIR VMA_INCLUDE=DIR, or one of them: the first holds etherfabric/base.h, the second mellanox/vma_extra.h" >&2; exit 2; }
	$(if $(EF_VI_INCLUDE),$(BIN)/python tools/check_vendor_headers.py tests/vendor/ciul/headers.toml "$(EF_VI_INCLUDE)" \
		$(if $(OLDER),--older) $(patsubst %,--used-in %,$(wildcard plugins/efvi/src)))
	$(if $(VMA_INCLUDE),$(BIN)/python tools/check_vendor_headers.py tests/vendor/vma/headers.toml "$(VMA_INCLUDE)" \
		$(if $(OLDER),--older))

# Boots Debian's kernel in software emulation; needs root, for the bind mount that is the machine's root.
test-vm: vm-packages venv
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
	@git ls-files -z --cached --others --exclude-standard '*.c' '*.h' | xargs -0 awk 'length($$0) > 120 \
		{ print FILENAME ":" FNR ": " length($$0) " columns, at most 120"; long = 1 } END { exit long }'

sanitize: test-packages venv
	tools/sanitize address
	tools/sanitize thread

clean:
	rm -rf $(VENV) build core/build core/abi/build plugins/*/build
	find . -name '*.so' -not -path './.git/*' -delete
