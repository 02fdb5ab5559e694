# make benchmark   install what is needed and run the main job (the quick preset)
# make test        install what is needed and run the tests
# make docs        install what is needed and build the documentation: build/docs/index.html
# make test-peers  install what is needed, other libraries included, and compare AutoAttack with theirs
# make test-gpu-compile   install a compiler for GPUs too, and count what it makes of our programs
# make bench       install what is needed, other libraries included, and measure
# Both use uv where it is there and pip where it is not.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo -n)
export PYTHONUTF8 = 1

.PHONY: benchmark test docs test-peers test-gpu-compile chromium bench check lock clean

benchmark: $(VENV)/.installed
	$(BIN)/python run_benchmark.py

test: $(VENV)/.installed-dev chromium
	$(BIN)/python -m pytest

# Notebooks whose code did not change keep their outputs; DOCS_EXECUTE=0 leaves outputs out.
docs: $(VENV)/.installed-dev
	rm -rf build/docs
	$(BIN)/python -m sphinx -W --keep-going -d build/doctrees -c docs/site docs build/docs
	$(BIN)/python docs/site/links.py build/docs

# Other libraries go through pip: some of them only without what they ask for.
bench: $(VENV)/.installed-peers  # ratios, growth, memory; an hour on two cores, and nothing else should run meanwhile
	$(BIN)/python -m pytest tests/performance -n 0 --benchmark-only --benchmark-disable-gc \
		--figures docs/results/performance.json --document docs/performance.md

test-peers: $(VENV)/.installed-peers  # AutoAttack beside torchattacks; an hour on two cores
	PEERS=1 PEER_DOCUMENT=docs/results/autoattack.md $(BIN)/python -m pytest tests/peers -n 0

# Neither a GPU nor its driver is needed; two minutes on two cores.
test-gpu-compile: $(VENV)/.installed-gpu-compile
	GPU_COMPILE=1 GPU_COMPILE_DOCUMENT=docs/results/gpu-compile.md KERAS_BACKEND=jax JAX_PLATFORMS=cpu \
		PYTHONPATH=$(VENV)/gpu-compile $(BIN)/python -m pytest tests/gpu_compile -n 0

chromium:  # the leaderboard's page is tested in a real browser
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
		echo "installing Chromium for the tests of the leaderboard's page"; \
		command -v apt-get >/dev/null && $(SUDO) apt-get -qq update && \
		$(SUDO) apt-get -qq install -y --no-install-recommends chromium >/dev/null; } || \
		echo "Chromium is missing: install it, or the tests of the leaderboard's page fail" >&2

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Bytecode is compiled now: the first import of TensorFlow would otherwise take twice as long.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is older. Name another: make PYTHON=python3.12" >&2; exit 2; }
	@if command -v uv >/dev/null 2>&1; then \
		test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV); \
		uv pip install --quiet --compile-bytecode --python $(BIN)/python -r $(1); \
	else \
		test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(1); \
	fi
	@touch $@
endef

$(VENV)/.installed: requirements.txt
	$(call install,requirements.txt)

$(VENV)/.installed-dev: requirements-dev.txt
	$(call install,requirements-dev.txt)
	@touch $(VENV)/.installed

$(VENV)/.installed-peers: $(VENV)/.installed-dev requirements-peers.txt requirements-peers-nodeps.txt
	@$(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements-dev.txt -r requirements-peers.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-peers-nodeps.txt
	@touch $@

# JAX's plugin for GPUs without the CUDA libraries that it asks for, in a folder of its own: only a GPU needs them, and
# beside the plugin JAX looks for one. The versions are those that `make lock` chose for GPUs.
$(VENV)/.installed-gpu-compile: $(VENV)/.installed-dev requirements-cuda.txt
	@grep '^jax-cuda12-' requirements-cuda.txt > $(VENV)/gpu-compile.txt
	@$(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
		--target $(VENV)/gpu-compile -r $(VENV)/gpu-compile.txt
	@touch $@

lock:  # needs uv; exact versions for every platform, no addresses
	uv pip compile pyproject.toml --extra cpu --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links \
		--quiet --upgrade -o requirements.txt
	uv pip compile pyproject.toml --extra cpu --extra dev --universal --python-version 3.11 --no-emit-index-url \
		--no-emit-find-links --quiet -c requirements.txt -o requirements-dev.txt
	uv pip compile pyproject.toml --extra cuda --universal --python-version 3.11 --no-emit-index-url \
		--no-emit-find-links --quiet -o requirements-cuda.txt

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .benchmarks .hypothesis
