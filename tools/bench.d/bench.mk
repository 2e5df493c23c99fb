# What tools/bench runs: make -f tools/bench.d/bench.mk (from the project root). The floor is compiled and linked
# as trellis is, C library included, because that decides how long exec takes.

include Makefile
.DEFAULT_GOAL := bench-programs

BENCH := $(B)/bench

.PHONY: bench-programs
bench-programs: $(BENCH)/floor $(BENCH)/launch $(BENCH)/exit.elf $(BENCH)/stay.elf

$(BENCH)/floor: tools/bench.d/floor.c $(B)/flags | $(UAPI)
	@mkdir -p $(@D)
	$(call say,LINK,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(RELEASE) $(RELEASE_LD) $(LDFLAGS) -o $@ $< $(RELEASE_LIBS)

$(BENCH)/launch: tools/bench.d/launch.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,LINK,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $<

# What `tools/bench memory` runs besides: the memory code as it is released, and KVM alone.
.PHONY: bench-memory
bench-memory: $(BENCH)/populate $(BENCH)/slot $(B)/guest-tests/memory_walk.elf $(B)/guest-tests/memory_touch.elf

$(BENCH)/populate: tools/bench.d/populate.c $(filter-out $(B)/obj/vmm/main.o,$(OBJS))
	@mkdir -p $(@D)
	$(call say,BENCH,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(RELEASE) $(RELEASE_LD) -o $@ $^ $(RELEASE_LIBS)

$(BENCH)/slot: tools/bench.d/slot.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,LINK,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $<

# Assembly alone, so no 32-bit C library is needed.
$(BENCH)/%.o: tools/bench.d/first-write.S
	@mkdir -p $(@D)
	$(call say,AS,$@) $(CC) -m32 -D$(if $(filter stay,$*),STAY,EXIT) -c -o $@ $<

$(BENCH)/%.elf: $(BENCH)/%.o
	$(call say,LINK,$@) ld -m elf_i386 -n -nostdlib -z noexecstack --build-id=none -Ttext=0x100000 -e start -o $@ $<
