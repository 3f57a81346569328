# Every task sets up what it needs; the virtual environment is .venv, made again when a lock file changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
SOURCES := lmtpd accessd shared/msgstore tests
FUZZSECONDS ?= 300
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help all build lint vulncheck test coverage demo bench fuzz clean install-deps hooks-install lock

help:  ## Show the tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

all: build lint vulncheck test  ## Run all checks

install-deps: $(STAMP)  ## Make .venv with everything, hash-checked

$(STAMP): requirements-dev.txt pyproject.toml
	@echo "== making $(VENV) with the locked dependencies"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "the venv module is missing: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP)  ## Run both daemons, deliver a message, read it back
	@$(BIN)/msgstore demo

test: $(STAMP)  ## Run the tests; those that need Postfix, Dovecot or PostgreSQL are skipped where it is missing
	@echo "== running the tests"
	@$(BIN)/python -X dev -m pytest -n auto --dist worksteal $(TESTARGS)

coverage: $(STAMP)  ## Run the tests and show which lines and branches they reach
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lint: $(STAMP)  ## Check format, style and types
	@echo "== format, lint, types"
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/pyright --pythonpath $(BIN)/python

vulncheck: $(STAMP)  ## Compare the locked dependencies with the advisory database
	@echo "== known vulnerabilities"
	@$(BIN)/python tests/vulncheck.py || [ $$? = 2 ]  # 2: the database cannot be reached, which is said

build: $(STAMP)  ## Build wheel and sdist
	@echo "== building"
	@rm -rf dist && $(BIN)/python -m build --no-isolation --outdir dist . > /dev/null && ls dist

bench: $(STAMP)  ## Measure speed against other servers
	@$(BIN)/python -m tests.speed.lmtp_cpu
	@$(BIN)/python -m tests.speed.bench $(BENCHARGS)
	@$(BIN)/python -m tests.speed.reading
	@$(BIN)/python -m tests.speed.sealing
	@$(BIN)/python -m tests.speed.databases

fuzz: $(STAMP)  ## Let atheris look for scripts and messages that break the Sieve engine, for FUZZSECONDS
	@$(BIN)/python -c 'import atheris' 2> /dev/null || { echo "atheris is missing: $(BIN)/pip install -e '.[fuzz]'"; exit 1; }
	@mkdir -p .fuzz/sieve
	@PYTHONPATH=. $(BIN)/python -m tests.fuzz.fuzz_sieve -max_total_time=$(FUZZSECONDS) -max_len=4096 -timeout=5 \
	  -artifact_prefix=.fuzz/ .fuzz/sieve tests/fuzz/corpus/sieve

lock: $(STAMP)  ## Renew the lock files
	@$(BIN)/pip-compile --quiet --upgrade --generate-hashes --no-header --strip-extras --allow-unsafe \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --extra uvloop --extra sql --extra postgres --extra s3 -o requirements.txt pyproject.toml
	@$(BIN)/pip-compile --quiet --upgrade --generate-hashes --no-header --strip-extras --allow-unsafe \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --extra uvloop --extra sql --extra postgres --extra s3 --extra dev -o requirements-dev.txt pyproject.toml

hooks-install:  ## Let git run all checks before each push
	@git config core.hooksPath .githooks && echo "git uses .githooks now"

clean:  ## Remove what the tasks made
	@rm -rf $(VENV) dist build .coverage .coverage.* htmlcov .fuzz .hypothesis .mypy_cache .ruff_cache .pytest_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
