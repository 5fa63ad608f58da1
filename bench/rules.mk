# Programs that measure.  OpenBLAS is a yardstick here and nothing else.
BENCHES = $(BUILD)/bench/products $(BUILD)/bench/tokens $(BUILD)/bench/decode_products \
  $(BUILD)/bench/spikes

$(BUILD)/bench/peak_avx512.o $(BUILD)/bench/peak_vnni.o: KERNEL_FLAGS = -mavx512f
$(BUILD)/bench/peak_avx2.o: KERNEL_FLAGS = -mavx2 -mfma
$(BUILD)/bench/memory_read.o: KERNEL_FLAGS = -mavx2
$(BUILD)/bench/%.o: bench/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(KERNEL_FLAGS) -Ibench -MMD -MP -c $< -o $@

PEAK = $(patsubst %,$(BUILD)/bench/%.o,peak peak_avx2 peak_avx512 peak_vnni)
$(BUILD)/bench/products: $(BUILD)/bench/products.o $(PEAK) $(BUILD)/libtaxon.a
	$(CC) -o $@ $^ $(LDFLAGS) $(LIBS) -lopenblas
$(BUILD)/bench/tokens: $(BUILD)/bench/tokens.o $(BUILD)/libtaxon.a
	$(CC) -o $@ $^ $(LDFLAGS) $(LIBS)
$(BUILD)/bench/spikes: $(BUILD)/bench/spikes.o $(BUILD)/libtaxon.a
	$(CC) -o $@ $^ $(LDFLAGS) $(LIBS)
$(BUILD)/bench/decode_products: $(BUILD)/bench/decode_products.o $(BUILD)/bench/memory_read.o $(BUILD)/libtaxon.a
	$(CC) -o $@ $^ $(LDFLAGS) $(LIBS)

benches: $(BENCHES)
