# Coppice: train, compress, evaluate, serve. `make demo` shows it, `make test` checks it.

PACKAGES := build-essential pkg-config libdnnl-dev libopenblas-dev liblapacke-dev libsqlite3-dev libpng-dev zlib1g-dev xz-utils curl
JOBS := $(shell nproc)
SWIFT_BUILD := swift build -c release -j $(JOBS)
PROGRAM = $(shell swift build -c release --show-bin-path)/coppice

.PHONY: all setup build demo test bench format lint docs clean

all: build

## Installs the Debian packages that the build needs. Does nothing where they are there.
setup:
	@missing="$$(for p in $(PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || printf '%s ' $$p; done)"; \
	if [ -z "$$missing" ]; then echo "setup: nothing to install"; exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then run=; elif command -v sudo >/dev/null; then run=sudo; \
	else echo "setup: as root: apt-get install $$missing" >&2; exit 1; fi; \
	echo "setup: installing $$missing"; \
	$$run apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$run apt-get install -y -qq --no-install-recommends $$missing

## Builds the program.
build: setup
	$(SWIFT_BUILD) --product coppice

## Makes the built-in model smaller, measures it before and after, serves it, and writes demo/report.html.
demo: build
	@Tools/demo.sh "$(PROGRAM)"

## Runs all tests in release mode, one after another: some choose the instruction set and the number of threads of
## the whole process.
test: setup
	swift test -c release -j $(JOBS) --no-parallel

## Measures speed beside llama.cpp and PyTorch on this machine and writes the table of docs/performance.md. The first
## run installs the peers and makes models of 3.4 GB, in BENCH; the peers need the network, or wheels in BENCH_WHEELS.
BENCH := .build/bench
bench: build
	python3 Tools/peers/suite.py "$(PROGRAM)" --models $(BENCH)/models --venv $(BENCH)/peers \
		$(if $(BENCH_WHEELS),--wheels $(BENCH_WHEELS)) $(BENCH_FLAGS)

## Formats all Swift sources.
format:
	swift format format --in-place --parallel --recursive Sources Tests Package.swift

## Checks the formatting of all Swift sources.
lint:
	swift format lint --strict --parallel --recursive Sources Tests Package.swift

## Builds the documentation of the public modules into .build/docs.
docs: setup
	@mkdir -p .build/docs
	@for target in CoppiceTensors CoppiceNetworks CoppiceFormats CoppiceModels CoppiceCompression CoppiceTraining CoppiceInference CoppiceServing CoppiceEvidence; do \
		swift package --allow-writing-to-directory .build/docs generate-documentation --target $$target --output-path .build/docs/$$target || exit 1; \
	done

clean:
	rm -rf .build demo
