# `make run` shows the system working on real market data; `make test` checks it. Both set up
# what they need first. Only Python 3.11 or 3.12 is assumed.
# The first of these that runs and is of a version that we support.
PYTHON ?= $(firstword $(foreach p,python3 python3.11 python3.12,$(shell $(p) -c \
  'import sys; print("$(p)" if (3, 11) <= sys.version_info < (3, 13) else "")' 2>/dev/null)) python3)
UV_VERSION := 0.13.9
BIN := .venv/bin

# Where it is set, each of many processes would compile Ray, torch and ourselves again whenever it starts.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test setup lint unit cluster-test simulate-gpu gpu-test clean
.DELETE_ON_ERROR:

run: setup
	$(BIN)/vnpulse demo

test: setup lint
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: setup
	$(BIN)/python -m pytest tests/unit

# `ray up` on three machines in name spaces of their own: as root on Linux, with iproute2, rsync and
# openssh-server. Whatever happens, the machines and their processes end with this command.
cluster-test: setup
	@for tool in unshare ip ssh sshd rsync; do PATH="$$PATH:/usr/sbin:/sbin" command -v $$tool >/dev/null || \
	  { echo "cluster-test needs $$tool; on Debian: apt-get install iproute2 openssh-server rsync" >&2; exit 2; }; done
	unshare --net --mount --pid --fork --kill-child --mount-proc \
	  sh -c 'mount -t tmpfs tmpfs /tmp && "$$@"; exit $$?' sh $(BIN)/python -m pytest -m cluster tests/cluster

# The GPU's engine over three days of 48 symbols in numba's simulator: some minutes, no GPU.
simulate-gpu: setup
	$(BIN)/python -m pytest -m simulator --timeout 3000 tests/unit/technical/test_cuda_engine.py

# On a machine with an NVIDIA GPU and its driver.
gpu-test: setup
	$(BIN)/python -m pytest -m gpu tests/unit

setup: .venv/.installed

# uv makes the second environment a matter of seconds; a half-made one is made again from scratch.
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
	  { echo "vnpulse needs Python 3.11 or 3.12; name one: make PYTHON=python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "python -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf .venv && $(PYTHON) -m venv .venv; }
	@{ $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) && \
	  $(BIN)/python -m uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[embedded,dev]'; } || \
	  { echo "the packages could not be installed (no network, or a damaged download); run make again" >&2; exit 1; }
	@# Compiles the indicator kernels now: a minute or two that the first start would wait otherwise.
	@$(BIN)/python -c 'import vnpulse.technical.analyzer'
	@touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
