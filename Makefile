# The verbs. `make help` lists them; CI calls the same ones.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
PY := $(BIN)/python
# it warns that it does not know which package needs which: a list of pins does not say
SBOM := PYTHONWARNINGS=ignore::UserWarning $(BIN)/cyclonedx-py requirements --output-reproducible --pyproject pyproject.toml
# cfn-lint looks at the actions in policies only where there is no SAM transform, and at their resources only where they are
# named; that dead letters go to a queue of the same kind it sees in the template as written alone (E3502)
AS_DEPLOYED := --include-checks I3510 --ignore-checks E3502 --regions us-east-1
# no secrets: keys of AWS's documentation, which end so; ids of requests, sequences and users in sample records; sums of
# packages; columns of a truth table; the sums in what an earlier version left (fixtures). Nobody is asked whether a key works (--no-verify). One line's reason stands in it.
NO_SECRETS := --no-verify --exclude-secrets 'EXAMPLE(KEY)?$$' --exclude-lines=--hash=sha256:[0-9a-f]{64} \
  --exclude-lines '"(x-amz-id-2|sequencer|userName)": "' --exclude-lines 'access_key = (true|false), password = (true|false)' \
  --exclude-files '^tests/e2e/fixtures/'
# A stray profile, endpoint or index setting must not reach what runs here.
unexport AWS_PROFILE AWS_ENDPOINT_URL AWS_SESSION_TOKEN PYTHONPATH GUARDRAIL_CALLS
export PYTHONDONTWRITEBYTECODE := 1
export SAM_CLI_TELEMETRY := 0
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## list the verbs
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "%-13s %s\n", $$1, $$2}'

setup: .venv/done ## make .venv and install every pinned tool into it

.venv/done: requirements-dev.txt .python-version
	@command -v python3.13 >/dev/null && python3.13 -c 'import venv, ensurepip' 2>/dev/null || { echo "setup: Python 3.13 with venv is needed: install it so that 'python3.13 --version' works" >&2; exit 1; }
	@command -v git >/dev/null || { echo "setup: git is needed" >&2; exit 1; }
	@[ ! -L .venv ] || { echo "setup: .venv is a link, and making it anew would empty what it leads to: remove the link" >&2; exit 1; }
	@case "$(CURDIR)" in *[[:space:]]*) echo "setup: the folder's path has a blank in it, which pip's commands cannot bear: move it" >&2; exit 1;; esac
	@echo "setup: installing the tools into .venv (one to three minutes)"
	@python3.13 -m venv --clear .venv
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

fmt: setup ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet . || true

lint: setup ## formatting, lint, import rules, templates, their policies, secrets
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@PYTHONPATH=src $(BIN)/lint-imports --config pyproject.toml --no-logo --no-cache
	@$(BIN)/cfn-lint template.yaml spoke.yaml
	@$(PY) -m audit.resolved
	@$(BIN)/cfn-lint $(AS_DEPLOYED) -- build/audit/template.json build/audit/spoke.json
	@git ls-files -z | xargs -0 -n 60 -P 2 $(BIN)/detect-secrets-hook $(NO_SECRETS)

audit: setup ## what tools of others find: checkov, parliament, pip-audit; OFFLINE=1 leaves out the last
	@$(PY) -m audit $(if $(OFFLINE),--offline)

types: setup ## strict types
	@$(BIN)/mypy

unit: setup ## pure tests: no AWS, sockets, clock
	@$(BIN)/pytest tests/unit

functional: setup ## handlers in process, adapters on moto
	@$(BIN)/pytest tests/functional -n 2

template: setup ## what template.yaml promises
	@$(BIN)/pytest tests/template

docs: setup ## write what is generated (docs/controls.md, script's SHA-256 and version in template.yaml)
	@$(PY) -m docs.generate

docs-verify: setup ## fail if something generated is stale
	@$(PY) -m docs.generate --verify

check: setup ## all that needs no deployed stack; two at a time, each one's output in one piece
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint types docs-verify template unit
	@$(MAKE) --no-print-directory functional

build: setup ## the real sam build; then what no function uses is dropped and the rest compiled
	@$(BIN)/sam build --cached
	@$(PY) -m local.package

sbom: setup ## write build/sbom: CycloneDX of what is deployed, and of the tools, the command guardrail among them
	@mkdir -p build/sbom
	@$(SBOM) src/requirements.txt --output-file build/sbom/deployed.cdx.json
	@$(SBOM) requirements-dev.txt --output-file build/sbom/tools.cdx.json

e2e: setup build ## sam build and sam deploy to the embedded cloud; event in, alert out; grants compared with calls
	@$(BIN)/pytest tests/e2e -n 2 --dist loadfile --no-loadscope-reorder
	@$(PY) -m local.granted build/calls

browser-setup: ## make sure that Chromium is there (as root: Debian's package)
	@command -v chromium >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "browser-setup: installing the package chromium"; apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
		else echo "browser-setup: no chromium on the PATH: install the package chromium, as in 'sudo apt-get install chromium'" >&2; exit 1; fi; }

browser: setup browser-setup ## the report in a real Chromium: hostile names, keyboard, axe, pictures in build/report
	@$(BIN)/pytest tests/browser

test: check browser e2e ## everything; what CI runs

faults: setup ## 2,000 events while a fifth of AWS's answers are errors, and floods: nothing lost, nothing wrong
	@PYTHONPATH=src:. POWERTOOLS_LOG_LEVEL=CRITICAL $(PY) -m bench.faults

bench: setup build ## print every published figure and write bench/results.json: make bench ONLY="cold sweep", ALL=--all
	@PYTHONPATH=src:. $(PY) -m bench $(ALL) $(ONLY)

bench-setup: setup ## install the peers that bench compares with, each into an environment of its own
	@$(PY) -m bench.setup

demo: setup build ## see it work, without AWS
	@$(PY) -m local.demo

local-up: setup ## keep the embedded cloud running; prints the environment to paste
	@$(PY) -m local.cloud up

local-down: setup ## stop it
	@$(PY) -m local.cloud down

invoke: setup build ## run one event through the built handler: make invoke EVENT=events/NAME.json
	@$(PY) -m local.invoke "$(EVENT)"

deploy: build ## sam deploy with your own AWS credentials
	@$(BIN)/sam deploy --guided

pins: setup ## resolve the requirement files again
	@cd src && ../$(BIN)/pip-compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --no-header --no-annotate ../requirements-runtime.in -o requirements.txt
	@$(BIN)/pip-compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe --no-header --no-annotate requirements-dev.in -o requirements-dev.txt
	@for tool in audit/tools/*.in; do $(BIN)/pip-compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe --no-header --no-annotate $$tool -o $${tool%.in}.txt; done

clean: ## remove what was built, and .venv
	@rm -rf .venv .aws-sam build

.PHONY: help setup fmt lint audit types unit functional template docs docs-verify check build sbom e2e browser-setup browser test faults bench bench-setup demo local-up local-down invoke deploy pins clean
