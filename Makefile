# ringfence: every word a developer needs. Each target sets up what it needs by itself; see CONTRIBUTING.md.

# The first Python on this machine that is new enough; `make PYTHON=...` names another.
PYTHON ?= $(shell for python in python3.11 python3 /usr/bin/python3 python3.12 python3.13; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$python" && break; done)
RUN := .venv/bin/python -m
# A line of commands is timed in whole seconds, so that set-up and run are printed apart.
TIMED = start=$$(date +%s); $(1); status=$$?; echo "the run took $$(( $$(date +%s) - start )) s"; exit $$status

.PHONY: help setup setup-runtime demo test check bench nightly docs lock clean

help: ## list these words
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup: ## make .venv with everything the demo and the tests need
	@$(call INSTALL,test)
	@"$(PYTHON)" setup/system_packages.py network

setup-runtime:
	@$(call INSTALL,runtime)

INSTALL = test -n "$(PYTHON)" || { echo "ringfence needs Python 3.11 or later: apt-get install python3" >&2; exit 3; }; \
	"$(PYTHON)" setup/install.py $(1)

demo: setup-runtime ## one policy, one book, and a real crash replayed over it
	@$(call TIMED,.venv/bin/ringfence demo $(DEMO))

check: setup ## format, lint, strict types, import floors, tidy tests
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) mypy
	.venv/bin/lint-imports --no-cache
	$(RUN) pytest tests/tidy

test: setup ## every test but the nightly ones
	$(RUN) pytest -n 2 --dist worksteal $(TESTS)

nightly: setup ## the longer campaigns; small faults in the ledger, each found or with a reason to live
	HYPOTHESIS_PROFILE=nightly $(RUN) pytest -m nightly -n 2 --dist worksteal $(TESTS)
	.venv/bin/python tests/mutation/run_mutants.py

bench: setup ## every benchmark, each a ratio against a named peer or limit
	@$(call TIMED,.venv/bin/python bench/run.py)

docs: setup ## write the generated pages of docs/
	.venv/bin/python docs/generate.py

lock: ## write the lock files anew; make lock UPGRADE=--upgrade takes newer versions
	"$(PYTHON)" setup/lock.py $(UPGRADE)

clean: ## remove what was built; .venv stays
	rm -rf build dist out mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
