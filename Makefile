# Everything one does here. `make` alone prints the list.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first Python that is new enough; PYTHON=python3.13 make ... chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# Names are relative, and this is quoted by the shell: the folder's own name may have anything in it.
export ROOT := $(CURDIR)
VENV := .venv
UV := $(VENV)/bin/uv
# uv with pip's index and certificate, where pip is configured to have some.
uv = . $(VENV)/uv.env && $(UV)
# The order of the layers: what breaks below is seen first.
PACKAGES := c2c-broadcast c2c-testing c2c-stats c2c-db c2c-health c2c-logging c2c-debug c2c-rest c2c-sentry c2c-auth c2c-page c2c-meta c2c-compat
ARGS ?=
# make check CHANGES_SINCE=origin/main: what changed since then has a changelog fragment that is newer, too.
CHANGES_SINCE ?=
# How many packages are tested at once: two a core, as tests mostly wait for servers; eight at most.
JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 1); echo $$((n > 4 ? 8 : 2 * n)))
# Those that take long begin first: nothing else is left to do beside the last one.
LONG := c2c-meta c2c-debug c2c-broadcast c2c-db c2c-compat
TESTED := $(addprefix test-,$(LONG) $(filter-out $(LONG),$(PACKAGES)))
ISOLATED := $(PACKAGES:%=.venvs/%/.installed)
BROWSER := $(patsubst packages/%/browser/tests,%,$(wildcard packages/*/browser/tests))
# pytest of an environment, with a cache of its own: packages are tested at the same time.
pytest = "$$ROOT"/tools/run_tests "$$ROOT/$(1)" "$$ROOT/.pytest_cache/$(2)" -- $(ARGS)
say = printf '\033[1m== %s\033[0m\n'

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18
	@echo "Packages (P=): $(PACKAGES)"

# -- set-up ---------------------------------------------------------------------------------------------------------

$(UV): | constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 found: install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(say) "creating .venv with $(PYTHON)"
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "PYTHON=$(PYTHON) is no Python >= 3.11: name another, as in: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@"$(PYTHON)" -m venv $(VENV) || { echo "$(PYTHON) -m venv failed: on Debian, apt install python3-venv" >&2; exit 2; }
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@touch $@

$(VENV)/uv.env: $(UV)
	@$(VENV)/bin/python -m pip config list | tools/uv_environ >$@

$(VENV)/.installed: $(VENV)/uv.env pyproject.toml constraints.txt packages/*/pyproject.toml acceptance_tests/app/pyproject.toml
	@$(say) "installing all packages into .venv (about 800 MB)"
	@$(uv) pip install --quiet --python $(VENV)/bin/python -c constraints.txt --group dev \
		$(foreach p,$(PACKAGES),-e 'packages/$(p)[test]') -e acceptance_tests/app
	@touch $@

.PHONY: setup
setup: $(VENV)/.installed ## create or update .venv with every package, editable

# One environment a package, holding what that package declares and nothing else.
.venvs/%/.installed: $(VENV)/uv.env constraints.txt packages/*/pyproject.toml
	@$(say) "installing $* alone into .venvs/$*"
	@$(uv) venv --quiet --allow-existing --python $(VENV)/bin/python .venvs/$*
	@$(uv) pip install --quiet --python .venvs/$* -c constraints.txt -e "packages/$*[test]"
	@touch $@

# -- every day ------------------------------------------------------------------------------------------------------

.PHONY: run
run: setup ## start the demo: application, PostgreSQL primary and replica, Redis; Ctrl-C stops it all
	@exec $(VENV)/bin/python -m acceptance_tests.demo

.PHONY: test
test: ## every package's tests in isolation, then the acceptance tests
	@$(MAKE) -j$(JOBS) $(ISOLATED)
	@$(say) "testing each package in its own environment, $(JOBS) at a time; each prints when it is done"
	@$(MAKE) -k -j$(JOBS) --output-sync=target test-packages
	@$(MAKE) acceptance

.PHONY: test-packages $(TESTED)
test-packages: $(TESTED)

$(TESTED): test-%: .venvs/%/.installed
	@$(say) "$*: tests in its own environment"
	@cd packages/$* && $(call pytest,.venvs/$*,$*) tests

.PHONY: test-one
test-one: ## one package's tests: make test-one P=c2c-health ARGS='-k live'
	@test -n "$(P)" || { echo "Which package? make test-one P=c2c-health" >&2; exit 2; }
	@$(MAKE) test-$(P)

# The modules with races, forks and bounds, and the tests that are to notice: package:module:tests,...
MUTATED := \
	c2c-broadcast:shared_state:tests/test_shared_state.py \
	c2c-broadcast:process:tests/test_process.py \
	c2c-stats:series:tests/test_series.py,tests/test_guard.py \
	c2c-stats:processes:tests/test_group.py \
	c2c-db:scope:tests/test_pure.py,tests/test_sessions.py,tests/test_ordinary_set_ups.py \
	c2c-db:marks:tests/test_pure.py \
	c2c-db:session:tests/test_pure.py,tests/test_sessions.py,tests/test_moving.py \
	c2c-db:failures:tests/test_pure.py,tests/test_without_replica.py,tests/test_read_only.py,tests/test_moving.py \
	c2c-health:runner:tests/test_by_the_clock.py,tests/test_perform.py,tests/test_memory.py,tests/test_views.py,tests/test_runner.py \
	c2c-logging:sending:tests/test_output.py,tests/test_queue.py,tests/test_reader.py \
	c2c-debug:table:tests/test_table.py
comma := ,
nothing :=

.PHONY: mutants
mutants: setup ## change one thing of a module at a time, tests must notice: make mutants P=c2c-db M=marks T=tests/test_marks.py S=600
	@for one in $(if $(P),$(P):$(M):$(subst $(nothing) $(nothing),$(comma),$(T)),$(MUTATED)); do \
		IFS=: read -r package module tests <<<"$$one"; \
		$(MAKE) .venvs/$$package/.installed; \
		$(VENV)/bin/python -m tools.mutants $$package $$module --seconds $(or $(S),600) $${tests//,/ } || few=1; \
	done; exit $${few:-0}

.PHONY: acceptance
acceptance: setup ## the acceptance tests: the demo over HTTP, with real servers
	@$(say) "acceptance tests"
	@$(call pytest,.venv,acceptance) acceptance_tests/tests

$(VENV)/.browser: $(VENV)/.installed
	@$(say) "installing what drives the browser into .venv"
	@$(uv) pip install --quiet --python $(VENV)/bin/python -c constraints.txt --group browser
	@touch $@

.PHONY: test-browser
test-browser: $(BROWSER:%=.venvs/%/.installed) $(VENV)/.browser ## the tests that need a browser: Debian's chromium, and npm
	@for p in $(BROWSER); do \
		$(say) "$$p: tests in the browser"; \
		(cd packages/$$p && $(call pytest,.venvs/$$p,$$p-browser) browser/tests); \
	done
	@$(say) "the index page of the demo in the browser"
	@$(call pytest,.venv,acceptance-browser) acceptance_tests/browser/tests

.PHONY: screenshots
screenshots: $(VENV)/.browser ## pictures of the index page: light, dark, phone
	@$(VENV)/bin/python -m acceptance_tests.screenshots

.PHONY: check
check: setup ## ruff (format and all rules), mypy --strict, import-linter, settings tables, house rules, fragments
	@$(say) "ruff"
	@$(VENV)/bin/ruff format --quiet --check . || { $(VENV)/bin/ruff format --diff . 2>&1 | head -40; echo "make format mends this" >&2; exit 1; }
	@$(VENV)/bin/ruff check --quiet .
	@$(say) "mypy --strict"
	@$(VENV)/bin/mypy packages/*/src tools acceptance_tests/*.py benchmarks documentation/*.py
	@$(VENV)/bin/mypy -p acceptance_app
	@$(say) "import-linter"
	@$(VENV)/bin/lint-imports
	@$(say) "settings tables of the READMEs"
	@$(VENV)/bin/python tools/settings_tables.py --check
	@$(say) "rules of the house: locks, sizes"
	@$(VENV)/bin/python -m tools.house_rules
	@$(say) "files that one thing crosses"
	@$(VENV)/bin/python -m acceptance_tests.files
	@$(say) "patterns: linear, over 16 kB of anything repeated"
	@$(VENV)/bin/python -m tools.patterns
	@$(say) "changelog fragments of what changed"
	@$(VENV)/bin/python -m tools.fragments --base "$(CHANGES_SINCE)"

.PHONY: format
format: setup ## format the code and mend what ruff can
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

# -- wheels and releases --------------------------------------------------------------------------------------------

RELEASE := .venvs/release

$(RELEASE)/.installed: $(VENV)/uv.env pyproject.toml constraints.txt
	@$(say) "installing the tools that build and release into $(RELEASE)"
	@$(uv) venv --quiet --allow-existing --python $(VENV)/bin/python $(RELEASE)
	@$(uv) pip install --quiet --python $(RELEASE) -c constraints.txt --group release
	@touch $@

# A package's files are built anew when any file that goes into them has changed, or is gone.
.SECONDEXPANSION:
dist/.%: packages/%/pyproject.toml packages/%/README.md packages/%/CHANGELOG.md packages/%/LICENSE \
		$$(shell find packages/$$*/src -not -name __pycache__ -not -name '*.pyc') | $(RELEASE)/.installed
	@mkdir -p dist && $(RELEASE)/bin/python -c 'from tools.release import build; from tools.workspace import Package; build(Package("$*"))'
	@touch $@

# The newest Python that is found and runs, pyenv's too.
NEWEST ?= $(shell for v in 14 13 12 11; do \
	for p in "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.$$v.*/bin/python python3.$$v; do \
	"$$p" -c 0 2>/dev/null && echo "$$p" && exit; done; done)

.venvs/newest-%/.tested: packages/%/pyproject.toml constraints.txt \
		$$(shell find packages/$$*/src packages/$$*/tests -name '*.py') | $(VENV)/uv.env
	@$(say) "$*: tests with $(NEWEST)"
	@$(uv) venv --quiet --allow-existing --python "$(NEWEST)" .venvs/newest-$*
	@$(uv) pip install --quiet --python .venvs/newest-$* -c constraints.txt -e "packages/$*[test]"
	@cd packages/$* && $(call pytest,.venvs/newest-$*,newest-$*) tests
	@touch $@

.PHONY: test-newest
test-newest: $(PACKAGES:%=.venvs/newest-%/.tested) ## each package's tests with the newest Python found, where it changed since

.PHONY: dist
dist: $(RELEASE)/.installed ## wheel and source archive of each package, in dist/
	@$(MAKE) -j$(JOBS) dist-files

.PHONY: dist-files
dist-files: $(PACKAGES:%=dist/.%)
	@:

.PHONY: footprints
footprints: dist ## rewrite packages/*/footprint.txt: what installing each package brings
	@$(RELEASE)/bin/python -m tools.footprints

# -v undoes -q: the header says which Pythons were found.
.PHONY: test-dist
test-dist: dist ## install the wheels, alone and together, on each Python found; rehearse releases
	@$(say) "wheels installed and tried, releases rehearsed, $(JOBS) at a time"
	@$(call pytest,$(RELEASE),dist) -v -n $(JOBS) tools/tests

.PHONY: release
release: $(RELEASE)/.installed ## release one package: make release P=c2c-health V=1.1.0
	@test -n "$(P)" -a -n "$(V)" || { echo "Which package and version? make release P=c2c-health V=1.1.0" >&2; exit 2; }
	@$(RELEASE)/bin/python -m tools.release $(P) $(V)

.PHONY: bench
bench: setup ## all benchmarks as one table, kept in benchmarks/RESULTS.md; ARGS=rest: one in full
	@$(VENV)/bin/python -m benchmarks $(ARGS)

.PHONY: constraints
constraints: ## rewrite constraints.txt from what is installed in .venv, .venvs/docs and .venvs/release
	@for e in $(VENV) $(wildcard .venvs/docs .venvs/release); do $(uv) pip freeze --quiet --python $$e --exclude-editable; done | sort -u | grep -E '^[A-Za-z0-9_.-]+==' | grep -vE '^pip==' > constraints.new
	@mv constraints.new constraints.txt

include documentation/targets.mk

.PHONY: clean
clean: ## remove the environments and caches
	@rm -rf .venv .venvs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist site
