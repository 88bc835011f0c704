# `make demo` and `make test` set up everything. The other targets are for developers: see `make help`.
# Meson and ninja do the work. Each kind of build has its own folder.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := all
.NOTPARALLEL:

PREFIX ?= /usr/local
PYTHON ?= python3
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/capp
MODELS := $(or $(CAPP_MODELS),$(CACHE)/models)

# Warnings are errors in the builds of developers and CI. They are not in the build of a user, whose compiler may be newer.
STRICT := --werror -Dtests=true
SANITIZE := -Db_lundef=false --buildtype=debugoptimized

SOURCES = $(shell git ls-files -co --exclude-standard '*.c' '*.h' '*.inc' 2>/dev/null || find include src cli tests examples -name '*.[ch]' -o -name '*.inc')

.PHONY: all help setup setup-test setup-clients debug asan tsan clang musl coverage aarch64 aarch64-quick install wheel dist site clean format lint fuzz demo models test check bench bench-kernels performance

all: setup build/build.ninja
	@ninja -C build

help:
	@echo 'make            release build: build/capp'
	@echo 'make demo       set up everything and let SmolLM2 decide COPA'
	@echo 'make test       set up everything and run all tests, at most 15 minutes'
	@echo 'make check      run the long tests: a million mutations, soak tests, comparison with CAPPr'
	@echo 'make install    install into PREFIX (now $(PREFIX)); uses DESTDIR'
	@echo 'make wheel      make the wheel of the Python package for this processor, in dist'
	@echo 'make dist       make and check all packages, in dist: wheels, static programs, Debian packages'
	@echo 'make site       build the documentation as HTML: build-site/html/index.html'
	@echo 'make debug asan tsan coverage clang musl    make other builds, in build-NAME'
	@echo 'make aarch64    build for AArch64, in build-aarch64, and run its tests under qemu'
	@echo 'make models     download the real models into $(MODELS)'
	@echo 'make bench      compare capp with other programs; WORK=figure,copa REPS=5 BENCH=--quick'
	@echo 'make performance  make docs/performance.md from the results of make bench'
	@echo 'make format lint fuzz bench-kernels clean'

setup:
	@tools/setup.sh build

setup-test:
	@tools/setup.sh build test site

# Where the packages of the server's clients cannot be installed, their tests are skipped.
setup-clients: setup-test
	@for each in lm_eval schemathesis page; do tools/venv.sh tests/$${each}_requirements.txt >/dev/null || true; done

build/build.ninja:
	@meson setup build >/dev/null

build-test/build.ninja:
	@meson setup build-test $(STRICT) >/dev/null

build-debug/build.ninja:
	@meson setup build-debug $(STRICT) --buildtype=debug >/dev/null

build-asan/build.ninja:
	@meson setup build-asan $(STRICT) $(SANITIZE) -Db_sanitize=address,undefined \
	    -Dc_args='-fno-sanitize-recover=all -fno-omit-frame-pointer' >/dev/null

build-tsan/build.ninja:
	@meson setup build-tsan $(STRICT) $(SANITIZE) -Db_sanitize=thread >/dev/null

build-coverage/build.ninja:
	@meson setup build-coverage $(STRICT) -Db_coverage=true --buildtype=debug >/dev/null

build-clang/build.ninja:
	@CC=clang meson setup build-clang $(STRICT) >/dev/null

build-musl/build.ninja: MUSL = $(shell uname -m)-linux-musl
build-musl/build.ninja:
	@tools/setup.sh wheel
	@packaging/compiler.sh build-dist $(MUSL)
	@meson setup build-musl $(STRICT) -Dlibraries=static --cross-file build-dist/$(MUSL)/meson.ini >/dev/null

build-aarch64/build.ninja:
	@tools/sysroot.sh arm64 build-sysroot-aarch64
	@meson setup build-aarch64 $(STRICT) --cross-file build-sysroot-aarch64/root.ini --cross-file tools/aarch64.ini >/dev/null

debug asan tsan: %: setup build-%/build.ninja
	@ninja -C build-$@

clang musl: %: setup-test build-%/build.ninja
	@ninja -C build-$@

install: all
	@meson configure build --prefix '$(abspath $(PREFIX))' && meson install -C build
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" -ne 0 ] || ldconfig

wheel: setup
	@tools/setup.sh wheel
	@packaging/dist.sh build-dist dist wheel

# All packages, each checked in a clean room. What took long to build stays in build-dist.
dist: setup-test build-test/build.ninja
	@tools/setup.sh wheel dist
	@packaging/dist.sh build-dist dist
	@ninja -C build-test capp
	@$(PYTHON) tools/fetch.py --folder '$(MODELS)' smollm2
	@CAPP_DIST=$(CURDIR)/dist $(PYTEST) tests/test_dist.py --long $(TESTS)

# Starts with an empty folder each time; warnings are errors.
site: all
	@tools/setup.sh site
	@rm -rf build-site
	@CAPP_LIBRARY='$(CURDIR)/build/libcapp.so.0' "$$(tools/venv.sh docs/requirements.txt)" -m sphinx -q -W --keep-going \
	    -d build-site/doctrees docs build-site/html
	@echo build-site/html/index.html

clean:
	@rm -rf build build-*/ dist .pytest_cache

# ---- Real models -----------------------------------------------------------------------------------------------------

demo: all
	@$(PYTHON) tools/fetch.py --folder '$(MODELS)' smollm2
	@$(PYTHON) tools/demo.py build/capp '$(MODELS)/smollm2.gguf'

models: setup
	@$(PYTHON) tools/fetch.py --folder '$(MODELS)' smollm2 gemma3

# ---- Tests -----------------------------------------------------------------------------------------------------------

# The tests use build-test (CAPP_BUILD): the flags of a release, with warnings as errors.
TEST_ENV = CAPP_BUILD=$(CURDIR)/build-test CAPP_BUILD_ASAN=$(CURDIR)/build-asan CAPP_MODELS='$(MODELS)'
PYTEST = $(TEST_ENV) "$$(tools/venv.sh)" -m pytest

test: setup-clients build-test/build.ninja build-asan/build.ninja
	@ninja -C build-test
	@ninja -C build-asan
	@[ "$$(uname -m)" != x86_64 ] || $(MAKE) aarch64-quick
	@$(PYTHON) tools/fetch.py --folder '$(MODELS)' smollm2 gemma3
	@$(PYTEST) tests $(TESTS)

# What make test runs as AArch64.
aarch64-quick:
	@tools/setup.sh aarch64
	@$(MAKE) build-aarch64/build.ninja
	@ninja -C build-aarch64 capp $(patsubst %,libkernel_%.a,neon bfmmla integers_neon integers_neondot integers_neoni8mm) \
	    $(addprefix tests/,model_tool test_integers test_products test_unpack)

# Everything that takes too long for `make test`: tests marked long, the complete fuzzing, data races, builds with clang and
# against musl.
check: test fuzz tsan clang musl
	@[ "$$(uname -m)" != x86_64 ] || ninja -C build-aarch64
	@tools/setup.sh corpus cluster browser
	@CAPP_BUILD_TSAN=$(CURDIR)/build-tsan CAPP_BUILD_CLANG=$(CURDIR)/build-clang CAPP_BUILD_MUSL=$(CURDIR)/build-musl $(PYTEST) tests --long $(TESTS)

# On any machine, with qemu's emulation.
aarch64: setup-test
	@tools/setup.sh aarch64
	@$(MAKE) build-aarch64/build.ninja
	@ninja -C build-aarch64
	@$(PYTEST) tests/test_aarch64.py --long $(TESTS)

# Models and adapters of tests/fixtures that belong together.
ADAPTED = $(foreach pair,llama:llama llama3:llama-patterns qwen2:qwen2-ends phi3:phi3-fused gpt2:gpt2-conv mixtral:mixtral-experts gptoss:gptoss-parameters,tests/fixtures/tiny/$(firstword $(subst :, ,$(pair))) tests/fixtures/lora/$(lastword $(subst :, ,$(pair))))
MUTATIONS ?= 1000000
SEED ?= 1
fuzz: setup-test build-asan/build.ninja
	@ninja -C build-asan
	@build-asan/tests/fuzz_gguf $(MUTATIONS) $(SEED) $$("$$(tools/venv.sh)" tests/convert.py build-asan/gguf)
	@build-asan/tests/fuzz_folder $(MUTATIONS) $(SEED) $$(ls -d tests/fixtures/tiny/*/model.safetensors | xargs -n 1 dirname)
	@build-asan/tests/fuzz_lora $(MUTATIONS) $(SEED) $(ADAPTED)
	@build-asan/tests/fuzz_folder $(MUTATIONS) $(SEED) $$("$$(tools/venv.sh)" tests/quantized.py build-asan/quantized)
	@build-asan/tests/fuzz_tokenizer $(MUTATIONS) $(SEED) tests/fixtures/tokenizers/*.json
	@build-asan/tests/fuzz_reader $(MUTATIONS) $(SEED)
	@build-asan/tests/fuzz_server $(MUTATIONS) $(SEED)
	@build-asan/tests/fuzz_chat $(MUTATIONS) $(SEED) tests/fixtures/chat/*.jinja

coverage: setup-test build-coverage/build.ninja
	@tools/setup.sh coverage
	@ninja -C build-coverage
	@$(PYTHON) tools/fetch.py --folder '$(MODELS)' smollm2 gemma3
	@find build-coverage -name '*.gcda' -delete
	@CAPP_BUILD=$(CURDIR)/build-coverage CAPP_MODELS='$(MODELS)' "$$(tools/venv.sh)" -m pytest tests --fast $(TESTS)
	@gcovr -r . --object-directory build-coverage -f src -f cli --print-summary --html-details build-coverage/coverage.html

# Compares capp with other programs: make bench WORK=figure,banking77 REPS=5 BENCH=--quick. Writes to bench/results.
WORK ?= all
REPS ?= 5
bench: all build-test/build.ninja
	@ninja -C build-test
	@CAPP_MODELS='$(MODELS)' $(PYTHON) bench/run.py --work '$(WORK)' --reps $(REPS) $(BENCH)

# Measures the kernels alone.
bench-kernels: setup build-test/build.ninja
	@ninja -C build-test
	@build-test/tests/bench_kernels

# Makes docs/performance.md and its figures from bench/results. Measures nothing.
performance:
	@"$$(tools/venv.sh bench/requirements.txt)" bench/render.py

# ---- Formatting and checks -------------------------------------------------------------------------------------------

format:
	@tools/setup.sh format
	@clang-format -i $(SOURCES)

# clang-tidy reads the files that build-debug compiles: the kernels of another processor need its flags and headers.
# The suppressions are for false positives of cppcheck 2.10: an address that is kept only during a call, a loop that it
# believes may not run, and readdir, which is safe with a DIR of one's own.
lint: setup build-debug/build.ninja
	@tools/setup.sh format lint
	@ninja -C build-debug build.ninja >/dev/null
	@clang-format --dry-run --Werror $(SOURCES)
	@"$$(tools/venv.sh tools/lint_requirements.txt)" -m mypy
	@grep -Po '"file": "\.\./\K(src|cli|server|examples)/[^"]*\.c' build-debug/compile_commands.json | sort -u | \
	    xargs -P $$(nproc) -n 4 clang-tidy --quiet -p build-debug
	@cppcheck --quiet --std=c17 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
	    --suppress=autoVariables --suppress=invalidFunctionArg --suppress=readdirCalled --library=posix -DCAPP_BUILDING -D__x86_64__ -D__GNUC__ -Iinclude -Isrc src cli server examples
