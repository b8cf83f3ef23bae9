# Everything a developer does here, by name. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

# The instruction set to compile for: `native`, or for example x86-64-v3 for a mixed cluster.
MARCH ?= native
# Where the Swift package manager builds.
SCRATCH ?= .build
# Jobs of the package manager; empty leaves it to Swift.
PARALLEL ?=

# Debian packages of the C libraries and tools, what only the private test cluster needs, and what the fault
# campaign watches programs with.
APT_PACKAGES := pkg-config libopenmpi-dev openmpi-bin libopenblas-dev libdnnl-dev libzstd-dev zlib1g-dev libxxhash-dev zstd xxhash
APT_SLURM_PACKAGES := slurm-wlm munge
APT_FAULTS_PACKAGES := strace
# What a build looks for, by pkg-config name.
PKG_CONFIG_NAMES := ompi-c openblas libzstd zlib libxxhash
# And by header, where a library has no pkg-config file.
HEADERS := oneapi/dnnl/dnnl.h

PYTHON ?= python3
# Options of tools/bench.py, for example --layers.
BENCH_OPTIONS ?=
# Options of the fault campaign: --short, --only F1,F10, --seed N.
FAULTS ?=
# Options of `make fuzz`: --inputs N, --seed N, --jobs N, names of parsers.
FUZZ ?=
# Options of tools/reproduce.py, for example --families gla --seeds 0.
REPRODUCE ?=
VENV := .venv-interop

export STATEX_MARCH := $(MARCH)
export OMPI_ALLOW_RUN_AS_ROOT := 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM := 1
# Threads are ours (docs/architecture.md): BLAS runs inside each tile.
export OPENBLAS_NUM_THREADS := 1

SWIFT_BUILD_FLAGS := -c release --scratch-path $(SCRATCH) $(if $(PARALLEL),--jobs $(PARALLEL))
SWIFT_DIRS := Sources Tests Package.swift

.PHONY: help setup packages setup-slurm setup-faults check-tools build test test-slurm test-hosts faults fuzz interop interop-env lint format demo reproduce reproduce-full bench bench-env clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16
	@echo
	@echo "Variables: MARCH=$(MARCH) SCRATCH=$(SCRATCH) PARALLEL=$(PARALLEL)"

setup: packages ## Install the missing system packages (Debian, Ubuntu) and build
	@$(MAKE) --no-print-directory build

packages:
	@tools/install-packages.sh $(APT_PACKAGES)

setup-slurm: ## Install Slurm for the cluster tests on this machine
	@tools/install-packages.sh $(APT_SLURM_PACKAGES)

setup-faults: ## Install what the fault campaign watches programs with
	@tools/install-packages.sh $(APT_FAULTS_PACKAGES)

check-tools:
	@tools/check-tools.sh $(PKG_CONFIG_NAMES) $(HEADERS)

build: check-tools ## Compile statex and statex-train (release)
	swift build $(SWIFT_BUILD_FLAGS)

test: packages ## Set up if needed, then run every Swift and MPI test (release)
	@$(MAKE) --no-print-directory check-tools
	swift build --build-tests $(SWIFT_BUILD_FLAGS)
	tools/run-tests.sh swift test -c release --scratch-path $(SCRATCH) --skip-build --no-parallel

test-slurm: build ## Train under a private Slurm (after setup-slurm, as root; LONG=1: longer cases too)
	STATEX_TRAIN="$$(swift build $(SWIFT_BUILD_FLAGS) --show-bin-path)/statex-train" Tests/Slurm/run.sh

test-hosts: build ## Cut a host off in the middle of a run, with network namespaces (as root)
	Tests/Hosts/run.sh "$$(swift build $(SWIFT_BUILD_FLAGS) --show-bin-path)"

faults: build ## Break runs in every way of a list and count what held (after setup-faults; FAULTS=--short)
	swift build $(SWIFT_BUILD_FLAGS) --product fault-campaign
	"$$(swift build $(SWIFT_BUILD_FLAGS) --show-bin-path)/fault-campaign" $(FAULTS)

fuzz: check-tools ## Try 100,000 changed inputs on every parser (FUZZ="--seed 7 recipe": others)
	swift build $(SWIFT_BUILD_FLAGS) --product fuzz
	"$$(swift build $(SWIFT_BUILD_FLAGS) --show-bin-path)/fuzz" $(FUZZ)

interop: build interop-env ## Compare with PyTorch, transformers and TensorBoard
	STATEX_BIN="$$(swift build $(SWIFT_BUILD_FLAGS) --show-bin-path)" \
		$(VENV)/bin/python -m pytest -q Tests/Interop

interop-env: $(VENV)/.complete

$(VENV)/.complete: Tests/Interop/requirements.txt Tests/Interop/requirements-transformers-4.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --retries 1 -r $<
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --retries 1 --no-deps \
		--upgrade --target $(VENV)/transformers-4 -r $(word 2,$^)
	touch $@

lint: check-tools ## Check style, room borders, file sizes, recipes under configs/ and their documentation
	swift format lint --strict --recursive --parallel $(SWIFT_DIRS)
	tools/lint-sources.sh
	swift build $(SWIFT_BUILD_FLAGS) --explicit-target-dependency-import-check error
	swift build --build-tests $(SWIFT_BUILD_FLAGS)
	swift test -c release --scratch-path $(SCRATCH) --skip-build --filter 'everyRecipeUnderConfigsDecodes|RecipeTablesTests'

format: ## Rewrite the sources in the committed style
	swift format --in-place --recursive --parallel $(SWIFT_DIRS)

demo: setup ## Set up if needed, then train a small model before and after state expansion
	tools/demo.sh

reproduce: build ## The paper's experiment at small scale, three seeds of both families; resumes (REPRODUCE=options)
	$(PYTHON) tools/reproduce.py --bin "$$(swift build $(SWIFT_BUILD_FLAGS) --show-bin-path)" $(REPRODUCE)

reproduce-full: build ## The same with five seeds, ablations, longer rows and a larger model
	$(PYTHON) tools/reproduce.py --bin "$$(swift build $(SWIFT_BUILD_FLAGS) --show-bin-path)" \
		--matrix full --output runs/reproduce-full $(REPRODUCE)

bench: build ## Measure training speed beside its limit and its peers (after bench-env)
	$(PYTHON) tools/bench.py --bin "$$(swift build $(SWIFT_BUILD_FLAGS) --show-bin-path)" $(BENCH_OPTIONS)

bench-env: .venv-bench/.complete ## Install the peers of the benchmark

.venv-bench/.complete: Tests/Peers/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check --retries 1 -r $<
	touch $@

clean: ## Remove build products and the Python environments
	rm -rf $(SCRATCH) $(VENV) .venv-bench
