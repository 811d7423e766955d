# Needs make and either npm or the pinned Bun; everything else comes out of bun.lock.
#
#   make run ARGS='--storage-registry-repo=127.0.0.1:5000'    run from the sources
#   make test [TESTS='test/helm …']                           build, then run the tests
#   make check                                                format, lint, types, import directions
#   make fmt                                                  put format and safe lint fixes in place
#   make build                                                dist/oci-chartrepo for this machine
#   make build-all                                            dist/oci-chartrepo-<platform> for each of PLATFORMS
#   make bench [SIZES=1000,20000] [RUNS=5] [ONLY=refresh,…]   one table of figures over a real registry (bench/README.md)
#   make clean                                                remove what was built

PLATFORMS := linux-x64 linux-arm64 linux-x64-musl linux-arm64-musl darwin-arm64

# One Bun for everybody: the one on PATH when it is the pinned one, else the copy that the lock file brings.
BUN_VERSION := $(shell sed -n 's/^ *"bun": *"\([^"]*\)".*/\1/p' package.json)
BUN := $(if $(filter $(BUN_VERSION),$(shell bun --version 2>/dev/null)),bun,node_modules/.bin/bun)
BIOME := $(BUN) node_modules/.bin/biome

# Directories are listed too: a deleted file shows only there.
SOURCES := $(shell find src -type f -o -type d) package.json bun.lock tsconfig.json .ci/compile
INSTALLED := node_modules/.installed

.PHONY: run test check fmt build build-all bench clean
.DEFAULT_GOAL := build

run: $(INSTALLED)
	@$(BUN) --no-env-file src/main.ts $(ARGS)

test: $(INSTALLED) build
	@$(BUN) .ci/test-run.ts $(TESTS)

check: $(INSTALLED)
	$(BIOME) check --config-path=.ci/lint.json --max-diagnostics=200 --error-on-warnings
	$(BUN) check
	$(BUN) test --timeout 120000 test/architecture.test.ts

fmt: $(INSTALLED)
	$(BIOME) check --config-path=.ci/lint.json --write

build: dist/oci-chartrepo

build-all: $(PLATFORMS:%=dist/oci-chartrepo-%)

dist/oci-chartrepo: $(SOURCES) | $(INSTALLED)
	.ci/compile $(BUN) $@

dist/oci-chartrepo-%: $(SOURCES) | $(INSTALLED)
	.ci/compile $(BUN) $@ bun-$*

bench: $(INSTALLED) build
	@$(BUN) bench/main.ts SIZES=$(SIZES) RUNS=$(RUNS) ONLY=$(ONLY)

clean:
	rm -rf dist

# Where Bun is missing, npm lends one for the time of the install.
$(INSTALLED): package.json bun.lock bunfig.toml
	@if [ '$(BUN)' != node_modules/.bin/bun ]; then \
	  $(BUN) install --frozen-lockfile; \
	elif command -v npx >/dev/null; then \
	  npx --yes bun@$(BUN_VERSION) install --frozen-lockfile </dev/null; \
	else \
	  echo 'make: neither npx nor Bun $(BUN_VERSION) is on PATH; install one of them' >&2; exit 1; \
	fi
	@touch $@
