# Mohr: the few commands a stranger needs. `make run` and `make test` install what is missing first.
PYTHON ?= python3.11
HOME_DIR ?= var
BIND ?= 127.0.0.1:8440
BIN := .venv/bin
READY := .venv/.ready
# Whatever the language and the umask of the shell: paths may be Persian, and services of other users read what is installed.
export LC_ALL := C.UTF-8
OPENLY := umask 022;

.PHONY: help run demo test check bench stress fuzz lock setup setup-test peers clean

help:
	@echo "make run | demo | test | check | bench | stress | fuzz | lock | clean"

$(READY): requirements.lock pyproject.toml
	@scripts/system-packages run
	@$(OPENLY) test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the locked Python packages" >&2
	@$(OPENLY) $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(OPENLY) PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(OPENLY) $(BIN)/python -m compileall -q pki storage hsm cardreader ca signer webapp desk  # services of other users cannot write beside the code
	@$(OPENLY) $(BIN)/python -m webapp.fonts
	@touch $(READY)

setup: $(READY)

setup-test: $(READY)
	@scripts/system-packages test

run: setup
	@$(BIN)/mohr run --home $(HOME_DIR) --bind $(BIND)

demo: setup
	@$(BIN)/mohr demo --home $(HOME_DIR)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Three at once also on two processors: many tests wait for programs that start, end and come back. What is compiled for
# one run is kept for the next and for those programs, whatever the environment says.
test: export PYTHONDONTWRITEBYTECODE =
test: setup-test
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not stress"

# What figures are measured beside, apart from the program; without packages at hand the figures say that it is missing.
peers: $(READY)
	@cmp -s requirements-peers.txt .venv-peers/.ready || { \
	  rm -f .venv-peers/.ready; \
	  echo "Installing the peers of the figures into .venv-peers" >&2; \
	  { test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers; } && \
	  .venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 30 --require-hashes \
	    -r requirements-peers.txt && \
	  cp requirements-peers.txt .venv-peers/.ready || echo "The peers could not be installed; figures go without them" >&2; }

bench: setup-test peers
	@$(BIN)/mohr bench --home $(HOME_DIR)

stress: setup-test
	$(BIN)/pytest -m stress

# A million inputs over all readers of strangers' octets, guided to new code where Atheris can be had (Linux on x86-64);
# `make fuzz INPUTS=10000 EXAMPLES=50 FUZZ="pdf asic"` for fewer, and some readers. Findings lie in var/fuzz/found.
INPUTS ?= 1000000
EXAMPLES ?= 2000
fuzz: setup-test
	@cmp -s requirements-fuzz.txt .venv/.fuzz || { \
	  echo "Installing what guides fuzzing" >&2; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 30 --require-hashes --only-binary :all: \
	    -r requirements-fuzz.txt && \
	  cp requirements-fuzz.txt .venv/.fuzz || echo "It could not be installed; good files are changed unguided" >&2; }
	FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/pytest -m "not real and not stress" --hypothesis-profile=fuzz -k "never or property or machine or hypothesis"
	@$(BIN)/python -m tests.fuzz --inputs $(INPUTS) $(FUZZ)

# pip-compile writes no index lines; run it where no private package folder is configured.
lock:
	PIP_FIND_LINKS= $(BIN)/python -m piptools compile --all-extras --generate-hashes --allow-unsafe --no-emit-index-url \
	  --no-emit-trusted-host --no-emit-find-links --strip-extras --no-header --annotation-style=line --build-deps-for wheel \
	  -o requirements.lock pyproject.toml
	PIP_FIND_LINKS= $(BIN)/python -m piptools compile --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host \
	  --no-emit-find-links --strip-extras --no-header --annotation-style=line -o requirements-peers.txt requirements-peers.in
	PIP_FIND_LINKS= $(BIN)/python -m piptools compile --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host \
	  --no-emit-find-links --strip-extras --no-header --annotation-style=line -o requirements-fuzz.txt requirements-fuzz.in

clean:
	rm -rf .venv .venv-peers var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
