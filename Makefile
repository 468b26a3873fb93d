# Needs Python 3.11 or newer with venv, and make; each target makes the rest. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := vmimage libos origin edge loadtest tests
# Two processes, each test file in one of them: the tests start servers and compilers of their own.
PYTEST_FLAGS ?= -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo fast test test-fast test-kvm parity wpt cache-tests tuf-conformance bench fmt map fuzz lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/.installed  ## an origin and an edge on this machine, shown from key to page
	$(BIN)/nunatak demo

# NUNATAK_COMPILED=no: what is being compiled is not run meanwhile.
fast: $(VENV)/.installed  ## compile the hot modules into build/fast, where edges find them; needs cc and Python.h
	NUNATAK_COMPILED=no $(BIN)/python -m edge.compiled.build

test: $(VENV)/.installed  ## format, lint, types, import contracts, all tests
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	NUNATAK_COMPILED=no $(BIN)/python -m pytest $(PYTEST_FLAGS)

# What compilation could change: the unit tests, hostile input, and the edge's own way from request to answer. Not here:
# tests with a worker that fails at a place, since what they put there is not called by compiled code.
COMPILED_TESTS := $(addprefix attack/test_,lying_worker.py http_smuggling.py credit.py slow_readers.py uploads.py \
  disk_floods.py line_floods.py exchange_floods.py worker_engines.py) $(addprefix property/test_,stops.py open_requests.py frames.py) \
  e2e/test_edge_requests.py e2e/test_wakeups.py

test-fast: fast  ## the tests of the edge with its hot modules compiled
	NUNATAK_COMPILED=must $(BIN)/python -m pytest $(PYTEST_FLAGS) tests/unit $(addprefix tests/,$(COMPILED_TESTS))

test-kvm: $(VENV)/.installed  ## the guest suite on kvm_amd in an emulated machine, with QEMU and a kernel of Debian's
	$(BIN)/python -m tests.kvm.run $(TESTS)

# The tests are brought by who runs this: a checkout of web-platform-tests/wpt on GitHub.
wpt: $(VENV)/.installed  ## web-platform-tests here, on workerd and on Node, by folder; WPT=CHECKOUT, WPT_FLAGS='--only url'
	$(BIN)/python -m tests.wpt.run "$(WPT)" $(WPT_FLAGS)

# So are these, a checkout of http-tests/cache-tests on GitHub with `npm install --no-save undici@7` done in it.
cache-tests: $(VENV)/.installed  ## cache-tests.fyi here and on nginx, Varnish and HAProxy where installed; CACHE_TESTS=CHECKOUT
	$(BIN)/python -m tests.cache_tests.run "$(CACHE_TESTS)" $(CACHE_TESTS_FLAGS)

# The suite is fetched at its pinned commit, or taken from the checkout or repository that TUF_CONFORMANCE names.
tuf-conformance: $(VENV)/.installed  ## TUF's conformance suite on what edges follow origins with; needs git and faketime
	NUNATAK_COMPILED=no $(BIN)/python -m tests.tuf_suite.run $(TUF_CONFORMANCE_FLAGS)

# FUZZ_MINUTES=10 stops after that time, FUZZ_CASES after so many; each run has a seed of its own, which it prints.
FUZZ_CASES ?= 1000000
FUZZ_MINUTES ?= 0

fuzz: $(VENV)/.installed  ## hostile guest code, frames and bytes without end; FUZZ_MINUTES=10 ends it
	$(BIN)/python -m tests.property.fuzzing all --cases $(FUZZ_CASES) --minutes $(FUZZ_MINUTES)

# PARITY='hono zod' asks only those whose names have one of these.
PARITY ?=

parity: $(VENV)/.installed  ## the same small workers on packages of npm, asked on workerd and here; a table of what differs
	NUNATAK_COMPILED=no $(BIN)/python -m tests.support.packages $(PARITY)

bench: $(VENV)/.installed  ## the numbers of SPECIFICATION.md, measured here; JSON goes to build/
	$(BIN)/nunatak bench

fmt: $(VENV)/.installed map  ## format, fix what ruff can, draw docs/flow.md and docs/map.md, write docs/reference and the dashboard
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)
	$(BIN)/python -m edge.model.flow > docs/flow.md
	$(BIN)/python -m tests.support.reference
	$(BIN)/python -m tests.support.dashboard

map: $(VENV)/.installed  ## draw docs/map.md: which package imports which
	$(BIN)/python -m tests.support.map

# Options here, not in the file's header, so that a rebuilt lock differs only where versions do.
lock:  ## resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --extra bench --extra build --extra fast --extra hsm --extra load --extra nats --extra oidc --extra otel --extra s3 --extra test --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --upgrade --quiet --output-file requirements.lock

clean:  ## remove everything that make made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
	find edge -name '*.so' -delete

# --no-build-isolation: the editable install is built by the locked setuptools, so nothing unpinned is fetched; its loops
# over pages by the locked compiler, for any processor of this kind.
$(VENV)/.installed: requirements.lock pyproject.toml edge/vmm/memory/_page_sets.c
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer expected, got " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	CC="$(abspath $(BIN))/python -m ziglang cc -mcpu=baseline" \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
