# The program in whose command line the n-th call fails; see tests/faults.sh.
FAULTS = $(BUILD)/tests/faults/faults
FAULTS_OBJECTS = $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/faults/*.c)) $(BUILD)/tests/faults/main.o
DEPENDS += $(FAULTS_OBJECTS:.o=.d)

# The shim is seen by the shared libraries too.
$(BUILD)/tests/faults/shim.o: KERNEL_FLAGS = -U_FORTIFY_SOURCE -fvisibility=default
$(BUILD)/tests/faults/main.o: cli/main.c Makefile | $(BUILD)/dependencies
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(QUIET)$(CC) $(ALL_CFLAGS) -Dmain=taxon_main -Wno-missing-prototypes -MMD -MP -c $< -o $@

$(FAULTS): $(FAULTS_OBJECTS) $(filter-out %/main.o,$(CLI_OBJECTS)) $(BUILD)/libtaxon.a
	$(SAY) LD $@
	$(QUIET)$(CC) $(CFLAGS) -rdynamic -o $@ $^ $(LDFLAGS) $(LIBS) -ldl

.PHONY: faults
faults: $(FAULTS)
