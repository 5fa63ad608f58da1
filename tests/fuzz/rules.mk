# The fuzz targets, in $(BUILD)/tests/fuzz.  The engine is replay.o, which runs
# the files it is given; tests/fuzz/run.sh builds them all again with libFuzzer.
#
#   make fuzz SECONDS=60      each target for so long
FUZZ_NAMES = gguf model text vocabulary template csv tsv jsonl artifact options
FUZZERS = $(FUZZ_NAMES:%=$(BUILD)/tests/fuzz/fuzz_%)
FUZZ_ENGINE ?= $(BUILD)/tests/fuzz/replay.o
SECONDS ?= 60

.PHONY: fuzz fuzzers
fuzz:
	@sh tests/fuzz/run.sh $(SECONDS)
fuzzers: $(FUZZERS)

wrap = $(patsubst %,-Wl$(comma)--wrap=tx_%,$(1))
comma = ,
FUZZ_TABLES = $(patsubst %,$(BUILD)/tests/fuzz/fuzz_%,csv tsv jsonl)
$(FUZZ_TABLES): FUZZ_LINK = $(call wrap,$(patsubst %,stream_%,open read name size close))
$(patsubst %,$(BUILD)/tests/fuzz/fuzz_%,artifact model): FUZZ_LINK = $(call wrap,map_open map_close)
FUZZ_CLI = $(BUILD)/cli/options.o $(BUILD)/cli/help.o $(BUILD)/cli/complete.o
$(BUILD)/tests/fuzz/fuzz_options: FUZZ_LINK = $(FUZZ_CLI)
$(BUILD)/tests/fuzz/fuzz_options: $(FUZZ_CLI)

# What --wrap names begins with two underscores and is declared by no header.
FUZZ_FLAGS = -Itests/fuzz -Icli -Wno-missing-prototypes
$(BUILD)/tests/fuzz/fuzz_%.o: tests/fuzz/fuzz_%.c Makefile tests/fuzz/rules.mk | $(BUILD)/dependencies
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(QUIET)$(CC) $(ALL_CFLAGS) $(FUZZ_FLAGS) -MMD -MP -c $< -o $@
$(FUZZ_TABLES:=.o): $(BUILD)/tests/fuzz/fuzz_%.o: tests/fuzz/fuzz_table.c Makefile tests/fuzz/rules.mk \
  | $(BUILD)/dependencies
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(QUIET)$(CC) $(ALL_CFLAGS) $(FUZZ_FLAGS) -DFORMAT='"$*"' -MMD -MP -c $< -o $@
$(FUZZERS): %: %.o $(filter %.o,$(FUZZ_ENGINE)) $(BUILD)/libtaxon.a
	$(SAY) LD $@
	$(QUIET)$(CC) $(CFLAGS) -o $@ $< $(FUZZ_ENGINE) $(FUZZ_LINK) $(BUILD)/libtaxon.a $(LDFLAGS) $(LIBS)

-include $(FUZZERS:=.d) $(BUILD)/tests/fuzz/replay.d
