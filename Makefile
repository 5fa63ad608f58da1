# Builds libtaxon, the taxon program and the tests.
#   make            the program and the libraries, in build/
#   make test       everything that can fail, for a clean clone (see .ci/run)
#   make demo       install what is missing, build, fetch a model and data, train, evaluate, classify
#   make bench      measurements (never assertions)
CC ?= cc
AR ?= ar
BUILD ?= build
PREFIX ?= /usr/local
PACKAGES = libpcre2-8 libutf8proc jansson libcrypto libxxhash libarchive
CFLAGS ?= -O2 -g
WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
# The answers must not depend on the compiler's mood: no contraction of a*b+c
# unless the code says fma, no reordering.
EXACT = -ffp-contract=off -fno-math-errno
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARNINGS) $(EXACT) -fopenmp -fvisibility=hidden -fPIC \
  -Iinclude -Isrc $(shell pkg-config --cflags $(PACKAGES)) $(CFLAGS) $(EXTRA_CFLAGS)
LIBS = $(shell pkg-config --libs $(PACKAGES)) -lcsv -llbfgs -lm
LDFLAGS += -fopenmp -Wl,--as-needed $(EXTRA_LDFLAGS)

SOURCES = $(wildcard src/*/*.c)
CLI_SOURCES = $(wildcard cli/*.c)
OBJECTS = $(SOURCES:%.c=$(BUILD)/%.o)
CLI_OBJECTS = $(CLI_SOURCES:%.c=$(BUILD)/%.o)
TESTS = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/*/test_*.c))
DEPENDS = $(OBJECTS:.o=.d) $(CLI_OBJECTS:.o=.d) $(TESTS:=.d)

.PHONY: all test demo bench clean unit
all: $(BUILD)/taxon $(BUILD)/libtaxon.so

$(BUILD)/src/kernels/%_generic.o: KERNEL_FLAGS = -O3
# Kernels for one instruction set each; everything else is baseline x86-64.
$(BUILD)/src/kernels/%_avx2.o: KERNEL_FLAGS = -O3 -mavx2 -mfma -mf16c
$(BUILD)/src/kernels/%_avx512.o: KERNEL_FLAGS = -O3 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(KERNEL_FLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libtaxon.a: $(OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/libtaxon.so: $(OBJECTS)
	$(CC) -shared -Wl,-soname,libtaxon.so.0 -o $@ $^ $(LDFLAGS) $(LIBS)

$(BUILD)/taxon: $(CLI_OBJECTS) $(BUILD)/libtaxon.a
	$(CC) -o $@ $^ $(LDFLAGS) $(LIBS)

$(BUILD)/tests/%: tests/%.c $(BUILD)/libtaxon.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -MF $@.d $< -o $@ $(BUILD)/libtaxon.a $(LDFLAGS) $(LIBS) -lcmocka -lopenblas

unit: $(TESTS)

test:
	@sh tests/run.sh

demo:
	@sh tools/demo.sh

clean:
	rm -rf $(BUILD)

include bench/rules.mk
-include $(DEPENDS)
