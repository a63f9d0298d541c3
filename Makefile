# One command per wish; each installs what it lacks first (tools/setup). `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup run test bench fuzz coverage fmt lint

# Tools that tools/setup installed for the project come first.
export PATH := $(CURDIR)/.cache/venv/bin:$(PATH)

FUZZ_SECONDS ?= 60

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## Install what `make test` needs and this machine lacks
	@tools/setup test

run: ## Build the server, start it with a demo stream, print where to watch
	@tools/setup run
	@tools/demo-clip .cache/demo.mp4
	cargo build --release --locked -p cruvz-server --features transcode
	exec $${CARGO_TARGET_DIR:-target}/release/cruvz-server --demo .cache/demo.mp4

test: ## Everything: format, lints, unit and scenario tests, examples, real tools, real browser
	@tools/setup test
	@python3 tools/test.py

bench: ## Cruvz against nginx-rtmp, libsrt and bare loops, side by side
	@tools/setup bench
	bench/run
	bench/whep

fuzz: ## Every fuzz target for FUZZ_SECONDS (default 60) each
	@tools/setup fuzz
	@tools/fuzz $(FUZZ_SECONDS)

coverage: ## Line coverage of cruvz-media and cruvz-core; fails below 85 %
	@tools/setup coverage
	@tools/coverage 85

fmt: ## Format the code
	cargo fmt --all

lint: ## Formatting and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --features cruvz-server/transcode -- -D warnings
	cargo clippy --manifest-path fuzz/Cargo.toml --no-default-features --target-dir target -- -D warnings
