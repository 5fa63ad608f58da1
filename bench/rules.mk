# Programs that measure.  OpenBLAS is a yardstick here and nothing else.
BENCHES = $(BUILD)/bench/products $(BUILD)/bench/tokens $(BUILD)/bench/decode_products \
  $(BUILD)/bench/spikes

$(BUILD)/bench/%.o: bench/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Ibench -MMD -MP -c $< -o $@

$(BUILD)/bench/products: $(BUILD)/bench/products.o $(BUILD)/libtaxon.a
	$(CC) -o $@ $^ $(LDFLAGS) $(LIBS) -lopenblas
$(BUILD)/bench/tokens: $(BUILD)/bench/tokens.o $(BUILD)/libtaxon.a
	$(CC) -o $@ $^ $(LDFLAGS) $(LIBS)
$(BUILD)/bench/spikes: $(BUILD)/bench/spikes.o $(BUILD)/libtaxon.a
	$(CC) -o $@ $^ $(LDFLAGS) $(LIBS)
$(BUILD)/bench/decode_products: $(BUILD)/bench/decode_products.o $(BUILD)/libtaxon.a
	$(CC) -o $@ $^ $(LDFLAGS) $(LIBS)

benches: $(BENCHES)

# taxon beside its peers: make bench-peers DATA=test.tsv TEXT=title,description, with
# ARGUMENTS for bench/peers/run.py.  Makes a virtual environment in $(BUILD)/peers.
.PHONY: benches bench-peers bench-export
PEERS = $(BUILD)/peers
bench-peers:
	@$(MAKE) --no-print-directory all
	@sh bench/peers/setup.sh $(PEERS)/venv
	@$(PEERS)/venv/bin/python bench/peers/run.py --taxon $(BUILD)/taxon --cache $(PEERS)/cache \
	  $(if $(DATA),--data $(DATA) --text $(or $(TEXT),text)) $(ARGUMENTS)

# What taxon export writes, loaded by the programs that it is for.
bench-export:
	@$(MAKE) --no-print-directory all
	@sh bench/peers/setup.sh $(PEERS)/venv
	@$(PEERS)/venv/bin/python bench/peers/export.py --taxon $(BUILD)/taxon $(ARGUMENTS)
