# Builds libtaxon, the taxon program and the tests.
#
#   make            the program and the libraries, in build/
#   make demo       installs what is missing, builds, and runs the README's example in demo/
#   make test       installs what is missing, and runs everything that can fail
#   make check      the tests again under sanitizers, and a small run under valgrind
#   make coverage   how many branches of the readers and the tokenizer the tests take
#   make fuzz       random input to every reader, for SECONDS=60 each
#   make bench      measurements (never assertions)
#   make install    into PREFIX (/usr/local), below DESTDIR
#   make clean
#
# V=1 shows the commands.  Other compilers and flags: make CC=clang CFLAGS=-O3
# BUILD=build/clang, each set of flags with a BUILD of its own.
CC ?= cc
AR ?= ar
BUILD ?= build
PREFIX ?= /usr/local
CFLAGS ?= -O2 -g
KERNEL_OPTIMIZE ?= -O3
ifdef SANITIZE # the same with AddressSanitizer and UndefinedBehaviorSanitizer
BUILD = build/asan
CFLAGS = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
KERNEL_OPTIMIZE = -O1 -fno-var-tracking
endif
VERSION = $(shell sed -n 's/.*tx_version(void).*"\(.*\)".*/\1/p' src/base/version.c)

PACKAGES = libpcre2-8 libutf8proc jansson libcrypto libxxhash libarchive libcurl
# Asked for once, and only when something is compiled: pkg-config itself may
# have to be installed first.
PACKAGE_CFLAGS = $(eval PACKAGE_CFLAGS := $$(shell pkg-config --cflags $(PACKAGES)))$(PACKAGE_CFLAGS)
PACKAGE_LIBS = $(eval PACKAGE_LIBS := $$(shell pkg-config --libs $(PACKAGES)))$(PACKAGE_LIBS)

WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
# The answers must not depend on the compiler's mood: no contraction of a*b+c
# unless the code says fma, no reordering.
EXACT = -ffp-contract=off -fno-math-errno
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARNINGS) $(EXACT) -pthread -fvisibility=hidden -fPIC \
  -Iinclude -Isrc $(PACKAGE_CFLAGS) $(CFLAGS) $(EXTRA_CFLAGS)
LIBS = $(PACKAGE_LIBS) -lcsv -llbfgs -lm
override LDFLAGS += -pthread -Wl,--as-needed $(EXTRA_LDFLAGS)

SOURCES = $(wildcard src/*/*.c)
OBJECTS = $(SOURCES:%.c=$(BUILD)/%.o)
CLI_OBJECTS = $(patsubst %.c,$(BUILD)/%.o,$(wildcard cli/*.c))
TESTS = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/*/test_*.c))
TOOLS = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/tools/*.c))
DEPENDS = $(OBJECTS:.o=.d) $(CLI_OBJECTS:.o=.d) $(TESTS:=.d) $(TOOLS:=.d)

# All processors, unless make was started by another make or told how many.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc 2> /dev/null || echo 1)
endif
QUIET = $(if $(V),,@)
SILENT = $(findstring s,$(filter-out -%,$(firstword $(MAKEFLAGS))))
SAY = @$(if $(V)$(SILENT),:,printf '  %-4s %s\n')

.PHONY: all unit tools test check coverage demo bench install clean
all: $(BUILD)/taxon $(BUILD)/libtaxon.so
	@:
unit: $(TESTS)
tools: $(TOOLS)

$(BUILD)/src/kernels/%_generic.o: KERNEL_FLAGS = $(KERNEL_OPTIMIZE)
# Kernels for one instruction set each; everything else is baseline x86-64.
$(BUILD)/src/kernels/%_avx2.o: KERNEL_FLAGS = $(KERNEL_OPTIMIZE) -mavx2 -mfma -mf16c
$(BUILD)/src/kernels/%_avx512.o: KERNEL_FLAGS = $(KERNEL_OPTIMIZE) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512

# Says what to install before the first error about a missing header.
$(BUILD)/dependencies:
	@sh tools/install-dependencies.sh --check build
	@mkdir -p $(@D) && touch $@

$(BUILD)/%.o: %.c Makefile | $(BUILD)/dependencies
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(QUIET)$(CC) $(ALL_CFLAGS) $(KERNEL_FLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libtaxon.a: $(OBJECTS)
	$(SAY) AR $@
	@rm -f $@
	$(QUIET)$(AR) rcs $@ $^

$(BUILD)/libtaxon.so: $(OBJECTS)
	$(SAY) LD $@
	$(QUIET)$(CC) $(CFLAGS) -shared -Wl,-soname,libtaxon.so.0 -o $@ $^ $(LDFLAGS) $(LIBS)

$(BUILD)/taxon: $(CLI_OBJECTS) $(BUILD)/libtaxon.a
	$(SAY) LD $@
	$(QUIET)$(CC) $(CFLAGS) -o $@ $^ $(LDFLAGS) $(LIBS)

$(TESTS): TEST_LIBS = -lcmocka -lopenblas
$(TESTS) $(TOOLS): $(BUILD)/%: %.c $(BUILD)/libtaxon.a Makefile
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(QUIET)$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -MF $@.d $< -o $@ $(BUILD)/libtaxon.a $(LDFLAGS) $(LIBS) $(TEST_LIBS)

test:
	@sh tests/run.sh

check:
	@sh tests/check.sh

coverage:
	@sh tests/coverage.sh

demo:
	@sh tools/install-dependencies.sh build
	@$(MAKE) --no-print-directory all
	@sh tools/demo.sh

bench:
	@sh tools/install-dependencies.sh build test
	@$(MAKE) --no-print-directory all benches
	@if [ -f bench/run.sh ]; then sh bench/run.sh; else echo "bench: programs are in $(BUILD)/bench"; fi

TO = $(DESTDIR)$(PREFIX)
install: all
	install -d $(TO)/bin $(TO)/include $(TO)/lib/pkgconfig
	install -m 755 $(BUILD)/taxon $(TO)/bin/taxon
	install -m 644 include/taxon.h $(TO)/include/taxon.h
	install -m 644 $(BUILD)/libtaxon.a $(TO)/lib/libtaxon.a
	install -m 755 $(BUILD)/libtaxon.so $(TO)/lib/libtaxon.so.$(VERSION)
	ln -sf libtaxon.so.$(VERSION) $(TO)/lib/libtaxon.so.0
	ln -sf libtaxon.so.0 $(TO)/lib/libtaxon.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(LIBS)|' \
	  tools/taxon.pc.in > $(TO)/lib/pkgconfig/taxon.pc
	sh tools/write-manual.sh $(BUILD)/taxon $(BUILD)/manual
	install -d $(TO)/share/man/man1 $(TO)/share/bash-completion/completions $(TO)/share/zsh/site-functions
	install -m 644 $(BUILD)/manual/man1/*.1 $(TO)/share/man/man1
	install -m 644 $(BUILD)/manual/taxon.bash $(TO)/share/bash-completion/completions/taxon
	install -m 644 $(BUILD)/manual/_taxon $(TO)/share/zsh/site-functions/_taxon

clean:
	rm -rf $(BUILD)

include bench/rules.mk
include tests/faults/rules.mk
include tests/fuzz/rules.mk

-include $(DEPENDS)
