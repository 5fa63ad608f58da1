# Programs that measure.  OpenBLAS is a yardstick here and nothing else.
BENCHES = $(BUILD)/bench/products $(BUILD)/bench/tokens $(BUILD)/bench/decode_products

$(BUILD)/bench/%.o: bench/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Ibench -MMD -MP -c $< -o $@

$(BUILD)/bench/products: $(BUILD)/bench/products.o $(BUILD)/libtaxon.a
	$(CC) -o $@ $^ $(LDFLAGS) $(LIBS) -lopenblas
$(BUILD)/bench/tokens: $(BUILD)/bench/tokens.o $(BUILD)/libtaxon.a
	$(CC) -o $@ $^ $(LDFLAGS) $(LIBS)
$(BUILD)/bench/decode_products: $(BUILD)/bench/decode_products.o $(BUILD)/libtaxon.a
	$(CC) -o $@ $^ $(LDFLAGS) $(LIBS)

benches: $(BENCHES)
