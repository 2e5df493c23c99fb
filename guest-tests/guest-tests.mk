# Bare-metal guest tests: build/guest-tests/NAME.elf from guest-tests/NAME.c and guest-tests/lib/.
#
# Included by the top-level Makefile; also works alone: make -f guest-tests/guest-tests.mk guest-tests
# (from the project root). It does not run anything: guest-tests/run does. gcc and clang both do.

OBJCOPY ?= objcopy
GUEST_TESTS_OUT ?= build/guest-tests

GUEST_TESTS_SRC := $(sort $(wildcard guest-tests/*.c))
GUEST_TESTS_LIB := $(sort $(wildcard guest-tests/lib/*.c guest-tests/lib/*.S))
GUEST_TESTS_ELF := $(GUEST_TESTS_SRC:guest-tests/%.c=$(GUEST_TESTS_OUT)/%.elf)
GUEST_TESTS_LIBOBJ := $(patsubst guest-tests/%,$(GUEST_TESTS_OUT)/%.o,$(GUEST_TESTS_LIB))

# No red zone: interrupts use the same stack. General registers only: nobody switches on SSE.
# -fcf-protection=none: no endbr64 that an old interpreter of instructions may not know.
GUEST_TESTS_CFLAGS := -std=gnu17 -O2 -g0 -ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only \
	-mcmodel=small -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
	-fno-strict-aliasing -iquote guest-tests -MMD -MP \
	-Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wundef -Wstrict-prototypes -Wmissing-prototypes \
	-Wimplicit-fallthrough $(if $(CI),-Werror)
GUEST_TESTS_LDFLAGS := -nostdlib -static -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
	-Wl,-z,noexecstack -Wl,-T,guest-tests/lib/image.ld

.PHONY: guest-tests guest-tests-clean
guest-tests: $(GUEST_TESTS_ELF)

guest-tests-clean:
	rm -rf $(GUEST_TESTS_OUT)

$(GUEST_TESTS_OUT)/%.c.o: guest-tests/%.c guest-tests/guest-tests.mk
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(GUEST_TESTS_CFLAGS) -c -o $@ $<

$(GUEST_TESTS_OUT)/%.S.o: guest-tests/%.S guest-tests/guest-tests.mk
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(GUEST_TESTS_CFLAGS) -c -o $@ $<

# QEMU's -kernel takes Multiboot only from 32-bit ELF files, so the 64-bit one is relabelled.
$(GUEST_TESTS_OUT)/%.elf: $(GUEST_TESTS_OUT)/%.c.o $(GUEST_TESTS_LIBOBJ) guest-tests/lib/image.ld
	$(call say,LINK,$@) $(CC) $(GUEST_TESTS_LDFLAGS) -o $@.64 $(filter %.o,$^)
	@$(OBJCOPY) -O elf32-i386 $@.64 $@

.SECONDARY: $(GUEST_TESTS_SRC:guest-tests/%=$(GUEST_TESTS_OUT)/%.o) $(GUEST_TESTS_LIBOBJ)

-include $(wildcard $(GUEST_TESTS_OUT)/*.d $(GUEST_TESTS_OUT)/lib/*.d)
