# Every command of development. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
LOWEST := .venv-lowest
BIN := $(VENV)/bin
DEVELOPMENT := $(VENV)/.installed
RUNNING := $(if $(wildcard $(DEVELOPMENT)),$(DEVELOPMENT),$(VENV)/.installed-demo)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SERVICES := $(BIN)/python -m tests.services
BROKERS ?=
ARGS ?=

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(RUNNING) ## run the sample: two services in step; BROKERS=host:port for your own Kafka
	@$(BIN)/streambind demo $(if $(BROKERS),--brokers $(BROKERS))

.PHONY: test
test: $(DEVELOPMENT) maven mariadb ## run all tests, with a real Kafka broker, PostgreSQL, MariaDB and MySQL; ARGS="-k name"
	@$(SERVICES) install || true
	@$(BIN)/python -m pytest $(ARGS)

.PHONY: bench
bench: $(DEVELOPMENT) maven ## how fast it is, beside bare clients and other frameworks; ARGS="inbound --runs 3"
	@$(SERVICES) install || true
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: soak
soak: $(DEVELOPMENT) maven ## break everything at random for half an hour; ARGS="--streambind-chaos-seed=7"
	@$(SERVICES) install || true
	@$(BIN)/python -m pytest tests/faults/test_chaos.py --streambind-chaos=1800 $(ARGS)

.PHONY: check
check: format-check lint types contracts test ## everything that must hold before a commit

.PHONY: format
format: $(DEVELOPMENT) ## write the code as ruff would
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet . || true

.PHONY: format-check
format-check: $(DEVELOPMENT)
	@$(BIN)/ruff format --check .

.PHONY: lint
lint: $(DEVELOPMENT)
	@$(BIN)/ruff check .

.PHONY: types
types: $(DEVELOPMENT)
	@$(BIN)/mypy
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

.PHONY: contracts
contracts: $(DEVELOPMENT)
	@$(BIN)/lint-imports

.PHONY: kafka-up
kafka-up: $(DEVELOPMENT) maven ## start a Kafka broker and print its address
	@$(SERVICES) up kafka

.PHONY: kafka-down
kafka-down: $(DEVELOPMENT) ## stop it and delete its data
	@$(SERVICES) down kafka

.PHONY: postgres-up
postgres-up: $(DEVELOPMENT) ## start a PostgreSQL server and print its URL
	@$(SERVICES) up postgres

.PHONY: postgres-down
postgres-down: $(DEVELOPMENT) ## stop it and delete its data
	@$(SERVICES) down postgres

.PHONY: mariadb-up
mariadb-up: $(DEVELOPMENT) mariadb ## start a MariaDB server and print its URL
	@$(SERVICES) up mariadb

.PHONY: mariadb-down
mariadb-down: $(DEVELOPMENT) ## stop it and delete its data
	@$(SERVICES) down mariadb

.PHONY: mysql-up
mysql-up: $(DEVELOPMENT) maven ## start a MySQL server and print its URL
	@$(SERVICES) up mysql

.PHONY: mysql-down
mysql-down: $(DEVELOPMENT) ## stop it and delete its data
	@$(SERVICES) down mysql

.PHONY: lock
lock: $(DEVELOPMENT) ## choose the versions of requirements-dev.lock anew
	@$(BIN)/uv pip compile --quiet --upgrade --all-extras --group dev --universal --generate-hashes \
	    --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	    --output-file requirements-dev.lock pyproject.toml

# confluent-kafka 2.13 lets nobody make its messages, as unit tests of the binder do, and what it carries is no
# broker that can be embedded (2.16 is): here the binder shows itself on a real broker. What depends most on SQLAlchemy
# runs on SQLite, but for the fleets, which are about time and not about versions.
.PHONY: lowest
lowest: $(LOWEST)/.installed maven ## run unit and conformance tests, and those on SQLite, with the oldest allowed versions
	@$(LOWEST)/bin/python -m pytest tests/unit tests/conformance/test_memory.py tests/conformance/test_kafka.py \
	    --ignore tests/unit/binders/kafka -k "not embedded" $(ARGS)
	@$(LOWEST)/bin/python -m pytest tests/integration/capture tests/integration/inbound tests/integration/persistence \
	    --ignore tests/integration/inbound/test_fleet.py -m "not postgres and not mariadb and not mysql and not kafka" -k "not postgres and not asyncmy" $(ARGS)

.PHONY: build
build: $(DEVELOPMENT) ## build the wheel and the source archive into dist/
	@rm -rf dist
	@$(BIN)/uv build --quiet --out-dir dist

.PHONY: clean
clean: ## stop the servers and remove everything that these commands made
	@if [ -x $(BIN)/python ]; then $(SERVICES) clean; fi
	@rm -rf .services $(VENV) $(LOWEST) .venv-bench dist build .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +

# Kafka's jars and MySQL's server come through Maven. Without it, tests that need them skip (and fail where CI=true).
.PHONY: maven
maven:
	@if command -v mvn >/dev/null || ls .services/kafka/libs/pom-* >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing Maven, which fetches Kafka and MySQL"; \
	    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
	        maven default-jre-headless >/dev/null; } || echo "Maven could not be installed"; \
	else echo "no Maven: tests with a real Kafka broker or MySQL are left out; install maven and Java 17 to run them"; fi

# The server alone, not Debian's package that runs it as a service.
.PHONY: mariadb
mariadb:
	@if command -v mariadbd >/dev/null || [ -x /usr/sbin/mariadbd ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing MariaDB"; \
	    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
	        mariadb-server-core mariadb-client-core >/dev/null; } || echo "MariaDB could not be installed"; \
	else echo "no MariaDB: tests with it are left out; install mariadb-server to run them"; fi

$(BIN)/python:
	@for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        $$python -c 'import ensurepip' 2>/dev/null || \
	            { echo "$$python cannot make virtual environments: apt-get install python3-venv"; exit 1; }; \
	        exec $$python -m venv $(VENV); \
	    fi; \
	done; echo "streambind needs Python 3.11 or later on the PATH (python3, python3.11 ... python3.14)"; exit 1

$(DEVELOPMENT): requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV)"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps -e .
	@touch $@

# What a user gets, in the versions of the lock file.
$(VENV)/.installed-demo: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV)"
	@sed -n 's/^\([A-Za-z0-9._-]*==[^\\]*\).*/\1/p' requirements-dev.lock > $(VENV)/constraints.txt
	@$(PIP) install -c $(VENV)/constraints.txt -e '.[demo]'
	@touch $@

$(LOWEST)/.installed: pyproject.toml | $(DEVELOPMENT)
	@echo "installing the oldest allowed versions into $(LOWEST)"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	@$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --group test \
	    -e '.[postgres,asyncpg,mysql,aiosqlite,fastapi,migrations,testing]'
	@touch $@
