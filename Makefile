# One command for each thing one does here; `make help` lists them.
#
# A fresh machine needs Python >= 3.11, a Rust toolchain and make. Every target sets up what it needs first, through
# stamp files in .venv, so a second run does nothing twice. Where packages come from is configured on the machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pytest arguments for `make test`, e.g.  make test TESTS="tests/test_queues.py -x"
TESTS ?=
# seconds for `make crash`, `make soak` and each target of `make fuzz`
SECONDS_LONG ?= 120

RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
START := $(VENV)/.stamp-start
TOOLS := $(VENV)/.stamp-dev
ECOSYSTEM := .venv-ecosystem
EXTENSION := $(VENV)/.stamp-extension
RELEASE := .venv-release
# What the wheels are for; `make wheels WHEELS=x86_64-unknown-linux-gnu` builds one
WHEELS ?= x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu

# The environment variable keeps maturin from picking up a virtual environment that happens to be active.
MATURIN := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin

.DEFAULT_GOAL := help
.PHONY: help setup develop demo test conformance ecosystem test-pythons check format loom miri fuzz crash soak flat planted check-conformance bench bench-quick bench-mapreduce simulate docs changelog wheels smoke reproducible licences sbom deny workflows release clean
.DELETE_ON_ERROR:

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "procession needs Python >= 3.11; name one with: make PYTHON=/path/to/python3.11 setup"; exit 1; }
	@command -v cargo >/dev/null || { echo "procession needs a Rust toolchain (cargo was not found)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(START) $(TOOLS): $(VENV)/.stamp-%: requirements-%.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-$*.txt
	@touch $@

$(EXTENSION): $(RUST_SOURCES) pyproject.toml $(START)
	PIP_QUIET=1 $(MATURIN) develop --release --quiet
	@touch $@

setup: $(TOOLS) $(EXTENSION)  ## everything needed to run: virtual environment, tools, the extension in release

develop: $(START)  ## rebuild the extension, whether or not a source changed
	$(MATURIN) develop --release
	@touch $(EXTENSION)

demo: $(EXTENSION)  ## word count over the text this machine already has, against one process
	@$(BIN)/python scripts/demo.py

test: setup  ## every test: the core in Rust, then the package
	cargo test --quiet -p procession-core -p procession-disk -p procession-gather
	$(BIN)/python scripts/suite.py $(TESTS)

# SUITE, CONTEXT and ONLY choose; FLAGS gives the rest, e.g.  make conformance CONTEXT=fork FLAGS='--jobs 2'
conformance: setup  ## CPython's own tests of multiprocessing and concurrent.futures on procession (10 minutes)
	$(BIN)/python -m conformance $(if $(SUITE),--suite $(SUITE)) $(if $(CONTEXT),--context $(CONTEXT)) \
		$(if $(ONLY),--only '$(ONLY)') $(FLAGS)

# PyTorch and its libraries take 5 GB: they have an environment of their own, which uses the extension built for setup.
$(ECOSYSTEM)/.stamp: requirements-ecosystem.txt requirements-dev.txt | $(BIN)/python
	$(PYTHON) -m venv $(ECOSYSTEM)
	$(ECOSYSTEM)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-ecosystem.txt
	echo $(CURDIR)/python > $$($(ECOSYSTEM)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/procession.pth
	@touch $@

ecosystem: setup $(ECOSYSTEM)/.stamp  ## the tests with real clients, PyTorch included (a minute; downloads 3 GB once)
	$(ECOSYSTEM)/bin/python -m pytest -q tests/ecosystem

check: setup  ## what a commit must pass: style, types, lints, quick tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict python/
	$(BIN)/python scripts/completeness.py
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	$(BIN)/python -m pytest -q -m "not slow" $(TESTS)

format: $(TOOLS)  ## format Python and Rust in place
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .
	cargo fmt --all

# A build of its own: the flag changes every atomic in the crate.
loom:  ## explore the interleavings of every primitive (minutes; stable Rust)
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release -p procession-core --test loom --test loom_ring --test loom_waits

miri:  ## undefined behaviour in the core (needs a nightly toolchain with miri)
	@sh scripts/miri.sh

fuzz:  ## random input against the plain model (needs a nightly toolchain with cargo-fuzz)
	@sh scripts/fuzz.sh $(SECONDS_LONG)

crash: setup  ## kill processes at every step of every operation, then at random (SECONDS_LONG=120)
	@sh scripts/crash.sh $(BIN)/python $(SECONDS_LONG)

test-pythons: setup  ## the suite on every later Python that this machine has, from one wheel
	@sh scripts/pythons.sh $(BIN)/maturin $(TESTS)

flat: setup  ## make, use and drop 10,000 of each kind of object, 1,000 pools: nothing may grow
	$(BIN)/python scripts/flat.py

planted: setup  ## programs with planted mistakes, and correct ones, checked under each start method (a minute)
	PROCESSION_EVERY_METHOD=1 $(BIN)/python -m pytest -q tests/check/test_check_programs.py $(TESTS)

check-conformance: setup  ## CPython's own tests of multiprocessing in check mode: nothing may be found (10 minutes)
	$(BIN)/python scripts/check_conformance.py $(if $(SUITE),--suite $(SUITE)) $(if $(CONTEXT),--context $(CONTEXT)) \
		$(if $(ONLY),--only '$(ONLY)') $(FLAGS)

soak: setup  ## random kills over pools, queues and locks, then the tests again and again (SECONDS_LONG=120)
	@sh scripts/soak.sh $(BIN)/python $(SECONDS_LONG)

$(VENV)/.stamp-bench: $(wildcard benchmarks/requirements.txt) $(TOOLS)
	@test ! -f benchmarks/requirements.txt || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@

bench: setup $(VENV)/.stamp-bench  ## every workload against every rival (many minutes)
	$(BIN)/python -m benchmarks

bench-quick: setup $(VENV)/.stamp-bench  ## the same with short runs: a look, not a result
	$(BIN)/python -m benchmarks --quick

# CORPUS=DIR for where the text lies, or is to lie; otherwise the user's cache directory (7 GiB).
bench-mapreduce: setup $(VENV)/.stamp-bench  ## map-reduce against plain Python, pools by hand, DuckDB, Polars
	$(BIN)/python -m benchmarks.mapreduce $(if $(CORPUS),--corpus $(CORPUS))

simulate: setup  ## the pool and the shuffle at 10 to 10,000 workers: docs/explanation/scheduling.md and its picture (two minutes)
	$(BIN)/python scripts/simulate.py

docs: setup  ## the documentation as a site, in build/docs: warnings are errors, every link leads somewhere
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet --fresh-env --write-all docs build/docs
	$(BIN)/python scripts/check_links.py build/docs

changelog:  ## print the entries waiting in changelog.d/, as the next release will list them
	@$(PYTHON) scripts/changelog.py

$(RELEASE)/.stamp: requirements-release.txt | $(BIN)/python
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-release.txt
	@touch $@

wheels: $(RELEASE)/.stamp  ## the source distribution and the wheels, into dist/ (minutes)
	@sh scripts/wheels.sh $(RELEASE)/bin/python dist $(WHEELS)

smoke:  ## install what is in dist/ on every Python of this machine, from wheel and from source, and try it
	@$(PYTHON) scripts/smoke.py dist --source

reproducible: $(RELEASE)/.stamp  ## the commit built twice, in two folders, must give the same bytes (minutes)
	@sh scripts/reproducible.sh $(RELEASE)/bin/python $(WHEELS)

licences:  ## write THIRD-PARTY-LICENSES.txt, after a change of Cargo.lock
	@$(PYTHON) scripts/third_party.py --licences

sbom:  ## write the bill of materials to dist/procession.cdx.json; the wheels have it as well
	@mkdir -p dist
	@$(PYTHON) scripts/third_party.py --sbom dist/procession.cdx.json

deny:  ## licences, duplicates, origins and known vulnerabilities of all crates (needs cargo-deny)
	@sh scripts/deny.sh

workflows: $(RELEASE)/.stamp  ## the form of the workflow files; whether they work, only a forge can tell
	@$(RELEASE)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(RELEASE)/bin/zizmor --offline --quiet --min-severity medium .github/workflows

release: deny reproducible wheels smoke  ## everything that a release must pass, into dist/

clean:  ## remove everything that was built
	rm -rf $(VENV) $(ECOSYSTEM) $(RELEASE) target build dist .pytest_cache .mypy_cache .ruff_cache
	find python crates -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
