# Parcela: `make` prints what there is. Everything below sets itself up first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
ARGS ?=
# Processes for the tests that need no hypervisor; WORKERS=0 for a debugger.
WORKERS ?= 2
BIN := .venv/bin
LAB := $(BIN)/python -m tests.lab

.PHONY: help
help: ## Print every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Set up and serve on this machine; prints the address and the administrator's password
	@scripts/setup.sh run
	@scripts/libvirt-up.sh
	@exec $(BIN)/parcela serve $(ARGS)

.PHONY: test
test: setup-test ## Run the whole suite in the private lab; ARGS="tests/unit -k name" narrows it
	@WORKERS=$(WORKERS) $(LAB) -- scripts/run-tests.sh $(ARGS)

.PHONY: test-unit
test-unit: setup-python ## Run the quick tests only, with no lab around them
	@$(LAB) --none -- $(BIN)/python -m pytest tests/unit $(ARGS)

.PHONY: test-containers
test-containers: ## Build the container image and run both compose files of deploy/ with podman (root); ARGS goes to pytest
	@scripts/setup.sh containers
	@PARCELA_TEST_CONTAINERS=1 $(BIN)/python -m pytest tests/containers $(ARGS)

.PHONY: lab-shell
lab-shell: setup-test ## Open a shell inside the private lab (its libvirt, databases and network)
	@$(LAB) -- $${SHELL:-/bin/bash}

.PHONY: check
check: lint types arch ## Run lint, types and arch

.PHONY: lint
lint: setup-python ## Check style: ruff, and shellcheck where it is installed
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@if command -v shellcheck >/dev/null; then git ls-files -z '*.sh' .ci/run | xargs -0r shellcheck -x; fi

.PHONY: types
types: setup-python ## Check types: mypy --strict
	@$(BIN)/mypy

.PHONY: arch
arch: setup-python ## Check the layers of DESIGN 3: import-linter
	@$(BIN)/lint-imports

.PHONY: fmt
fmt: setup-python ## Format the code and apply safe fixes
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

.PHONY: lock
lock: ## Regenerate requirements/*.txt; UPGRADE=1 takes the newest versions
	@scripts/lock.sh

.PHONY: guest
guest: ## Build the guest images into .cache
	@scripts/setup.sh guest

.PHONY: bench
bench: setup-test ## Measure the promises of DESIGN 10 in the private lab; ARGS names some of them
	@$(LAB) -- $(BIN)/python -m benchmarks $(ARGS)

.PHONY: clean
clean: ## Remove everything that set-up made in this folder
	@umount --recursive --lazy .cache/containers/root/overlay 2>/dev/null || true
	rm -rf .venv .tools .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .schemathesis frontend/node_modules

.PHONY: setup-test setup-python
setup-test:
	@scripts/setup.sh test
setup-python:
	@scripts/setup.sh python
