# The two commands that a newcomer needs are `make run` and `make test`; each sets up what is missing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
VIDEO ?= assets/sample.mp4
OUT ?= out

.PHONY: run reel setup test check lint types audit bench browser clean

run: $(READY)
	$(BIN)/python -m app ui

reel: $(READY)
	$(BIN)/python -m app reel -o "$(OUT)" -- "$(VIDEO)"

setup: $(READY)

# Two files of tests at a time, each in one piece, for what its tests share is made once.
test: $(READY_DEV) browser
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: lint types test

lint: $(READY_DEV)
	$(BIN)/ruff check .

types: $(READY_DEV)
	$(BIN)/mypy

# Known flaws of the packages that are installed, by OSV's list; needs the internet, and fails without. The tool has an environment of
# its own, so that it brings nothing into ours.
audit: $(READY)
	[ -x $(VENV)/audit/bin/pip-audit ] || { $(PYTHON) -m venv $(VENV)/audit && \
	  $(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.9,<3'; }
	$(VENV)/audit/bin/pip-audit --vulnerability-service osv --progress-spinner off --path "$$($(BIN)/python -c \
	  'import sysconfig; print(sysconfig.get_path("purelib"))')"

# Everything that bench/ measures, into bench/RESULTS.md: about 80 minutes on two cores that do nothing else.
# BENCH="--quick" only sees that all of it works; BENCH="--media DIR" measures on real clips, too.
bench: $(READY_DEV)
	$(BIN)/python -m bench.all $(BENCH)

# The page's tests drive a real browser. Where there is none and this is root on Debian, as in CI, it is installed;
# elsewhere those tests are skipped and say so.
browser:
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } || \
	  echo "no Chromium found: the page's tests will be skipped"

$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "SmolReel needs Python 3.11 or newer; name one with make PYTHON=..."; exit 1; }
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(READY_DEV): $(READY) requirements-dev.txt requirements-cluster.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache
