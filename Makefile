# trellis: `make` builds ./trellis; `make help` lists the rest. V=1 shows the commands.

CC       ?= gcc
OBJCOPY  ?= objcopy
PREFIX   ?= /usr/local
B        := build

WARN     := -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wundef -Wstrict-prototypes -Wmissing-prototypes \
            -Wimplicit-fallthrough
ifdef CI
WARN     += -Werror
endif
VERSION  := 0.1.0
CPPFLAGS += -I. -D_GNU_SOURCE -DTRELLIS_VERSION='"$(VERSION)"'
CFLAGS   ?= -O2 -g
ALL_CFLAGS := -std=gnu17 $(WARN) -pthread -fno-strict-aliasing -fstack-protector-strong \
              -ffunction-sections -fdata-sections $(CFLAGS)
# Debuggers read .debug_frame; nothing here unwinds at run time.
RELEASE  := -fPIE -fno-asynchronous-unwind-tables -fno-unwind-tables
RELEASE_LD := -static-pie -Wl,--gc-sections -Wl,-z,relro,-z,now -Wl,-z,noexecstack

# The release is linked with musl where it is installed (Debian: musl-dev), otherwise with the compiler's
# own C library, which triples its size. `make LIBC=native` asks for the latter.
MUSL_LIB := /usr/lib/x86_64-linux-musl
MUSL_INC := /usr/include/x86_64-linux-musl
LIBC     ?= $(if $(wildcard $(MUSL_LIB)/rcrt1.o),musl,native)
ifeq ($(LIBC),musl)
# stdatomic.h is the compiler's own.
RELEASE    += -nostdinc -isystem $(MUSL_INC) -isystem $(shell $(CC) -print-file-name=include) -isystem $(B)/uapi
RELEASE_LD += -nostdlib -nostartfiles $(MUSL_LIB)/rcrt1.o $(MUSL_LIB)/crti.o -L$(MUSL_LIB)
RELEASE_LIBS = -lc $(shell $(CC) -print-libgcc-file-name) $(MUSL_LIB)/crtn.o
UAPI       := $(B)/uapi
endif
SANITIZE := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

FOLDERS  := vmm/base vmm/cpu vmm/view vmm/host vmm devices devices/virtio devices/block devices/net firmware
TESTS    := $(sort $(wildcard $(FOLDERS:%=%/*_test.c)))
FUZZERS  := $(sort $(wildcard $(FOLDERS:%=%/*_fuzz.c)))
# What tests, fuzzers and benches share and the program has not.
RIGS     := devices/virtio/test_driver.c
SRCS     := $(filter-out %_test.c %_fuzz.c $(RIGS),$(sort $(wildcard $(FOLDERS:%=%/*.c))))
OBJS     := $(SRCS:%.c=$(B)/obj/%.o)
DEBUG_OBJS := $(SRCS:%.c=$(B)/debug/%.o)
UNIT     := $(TESTS:%.c=$(B)/debug/%)
FUZZ_OBJS := $(filter-out $(B)/fuzz/vmm/main.o,$(SRCS:%.c=$(B)/fuzz/%.o) $(RIGS:%.c=$(B)/fuzz/%.o))
FUZZ     := $(foreach f,$(FUZZERS:%_fuzz.c=%),$(B)/fuzz/$(notdir $f))
DEPS     := $(OBJS:.o=.d) $(DEBUG_OBJS:.o=.d) $(UNIT:=.d) $(FUZZ_OBJS:.o=.d) $(FUZZ:=.d)

ifneq ($(findstring s,$(filter-out --%,$(firstword $(MAKEFLAGS)))),)
say = @
else ifeq ($(V),)
say = @printf '  %-8s %s\n' '$(1)' '$(2)';
else
say =
endif

.PHONY: all debug check unit fuzz demo bench install uninstall clean format check-layers check-man help FORCE
.DELETE_ON_ERROR:

all: trellis

trellis: $(OBJS)
	$(call say,LINK,$@) $(CC) $(filter-out -Werror,$(ALL_CFLAGS)) $(RELEASE) $(RELEASE_LD) $(LDFLAGS) -o $@ $^ $(RELEASE_LIBS)

# What runs once, or not at all, is built small; what moves data, quick.
QUICK    := $(patsubst %.c,$(B)/obj/%.o,$(wildcard vmm/base/gmem.c vmm/base/loop.c vmm/base/throttle.c vmm/bus.c vmm/irq*.c \
            vmm/vcpu*.c devices/virtio/virtq*.c devices/virtio/chain.c devices/virtio/virtio_blk_request.c \
            devices/virtio/virtio_net_rx.c devices/virtio/virtio_net_tx.c devices/block/queue*.c devices/block/uring.c \
            devices/block/raw.c devices/block/qcow2_map.c devices/block/inflate.c devices/net/tap.c devices/net/stream.c))
$(filter-out $(QUICK),$(OBJS)): RELEASE += -Os

$(B)/obj/%.o: %.c $(B)/flags | $(UAPI)
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(RELEASE) -MMD -MP -c -o $@ $<

# The kernel's headers alone: beside them lie those of the native C library.
$(B)/uapi:
	@mkdir -p $@
	@ln -sfn /usr/include/linux $@/linux
	@ln -sfn /usr/include/asm-generic $@/asm-generic
	@ln -sfn $(firstword $(wildcard /usr/include/$(shell $(CC) -dumpmachine)/asm \
		/usr/include/x86_64-linux-gnu/asm /usr/include/asm)) $@/asm

# The same program with address and undefined-behaviour sanitizers: build/trellis-debug.
debug: $(B)/trellis-debug

$(B)/trellis-debug: $(DEBUG_OBJS)
	$(call say,LINK,$@) $(CC) $(ALL_CFLAGS) $(SANITIZE) $(LDFLAGS) -o $@ $^

$(B)/debug/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC,$< (debug)) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(SANITIZE) -MMD -MP -c -o $@ $<

# A unit test is one program: its file, and everything of ours but main().
$(B)/debug/libtrellis.a: $(filter-out $(B)/debug/vmm/main.o,$(DEBUG_OBJS)) $(RIGS:%.c=$(B)/debug/%.o)
	$(call say,AR,$@) rm -f $@ && ar rcs $@ $^

$(B)/debug/%_test: %_test.c $(B)/debug/libtrellis.a
	$(call say,TEST,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(SANITIZE) $$(pkg-config --cflags check) -MMD -MP \
		-MF $@.d -MT $@ -o $@ $< $(B)/debug/libtrellis.a $$(pkg-config --libs check)

unit: $(UNIT)

# Fuzz targets: build/fuzz/NAME from NAME_fuzz.c, with libFuzzer; tools/fuzz runs them.
fuzz: $(FUZZ)

FUZZ_FLAGS := -O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined

$(B)/fuzz/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC,$< (fuzz)) clang $(CPPFLAGS) $(ALL_CFLAGS) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

$(B)/fuzz/libtrellis.a: $(FUZZ_OBJS)
	$(call say,AR,$@) rm -f $@ && ar rcs $@ $^

define fuzz_target
$(B)/fuzz/$(notdir $1): $1_fuzz.c $(B)/fuzz/libtrellis.a
	$$(call say,FUZZ,$$@) clang $$(CPPFLAGS) $$(ALL_CFLAGS) $$(FUZZ_FLAGS) -fsanitize=fuzzer -MMD -MP -MF $$@.d -MT $$@ \
		-o $$@ $$< $(B)/fuzz/libtrellis.a
endef
$(foreach f,$(FUZZERS:%_fuzz.c=%),$(eval $(call fuzz_target,$f)))

# The device-side bench, against the code as it is released; tools/bench runs it.
$(B)/bench/queue: tools/bench.d/queue.c $(filter-out $(B)/obj/vmm/main.o,$(OBJS)) $(RIGS:%.c=$(B)/obj/%.o)
	@mkdir -p $(@D)
	$(call say,BENCH,$@) $(CC) $(CPPFLAGS) $(filter-out -Werror,$(ALL_CFLAGS)) $(RELEASE) $(RELEASE_LD) -o $@ $^ $(RELEASE_LIBS)

# Objects depend on the compiler and its flags: a change of either builds again.
$(B)/flags: FORCE
	@mkdir -p $(B)
	@echo '$(CC) $(LIBC) $(CPPFLAGS) $(ALL_CFLAGS) $(RELEASE) $(LDFLAGS)' | cmp -s - $@ || \
		echo '$(CC) $(LIBC) $(CPPFLAGS) $(ALL_CFLAGS) $(RELEASE) $(LDFLAGS)' > $@

-include guest-tests/guest-tests.mk

# Everything: packages, layers, unit tests, guest tests on /dev/kvm, Linux boots.
check:
	@tools/setup
	@tools/check

demo:
	@tools/demo

bench: trellis
	@tools/bench all

# Includes point down (style R1).
check-layers:
	@! grep -rn '#include "vmm/' devices firmware | grep -v '"vmm/base/'
	@! grep -rn '#include "\(devices\|firmware\)/' vmm/base
	@! grep -rn '#include "firmware/' devices
	@! grep -rn '#include "devices/' firmware

# docs/trellis.1 lists the options of the one table in vmm/options.c.
check-man: trellis
	@tools/manpage --check

install: trellis
	install -D -m 0755 -s trellis $(DESTDIR)$(PREFIX)/bin/trellis
	install -D -m 0644 docs/trellis.1 $(DESTDIR)$(PREFIX)/share/man/man1/trellis.1

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/trellis $(DESTDIR)$(PREFIX)/share/man/man1/trellis.1

# Keeps what was fetched (build/kernels); `make distclean` takes that too.
clean:
	rm -rf trellis $(B)/obj $(B)/debug $(B)/fuzz $(B)/trellis-debug $(B)/guest-tests $(B)/flags $(B)/bench

distclean:
	rm -rf trellis $(B)

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

help:
	@echo 'make              build ./trellis (static-pie; CC=clang works too)'
	@echo 'make debug        build build/trellis-debug with address and undefined-behaviour sanitizers'
	@echo 'make check        install what is missing, then run every test'
	@echo 'make fuzz         build the fuzz targets (clang); tools/fuzz runs them'
	@echo 'make demo         boot a Debian kernel to user space, whatever this machine is'
	@echo 'make bench        the figures of docs/promises.md'
	@echo 'make install      PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)'
	@echo 'make clean        remove what was built; make distclean: and what was fetched'
	@echo 'make format       lay out the code with clang-format'

-include $(DEPS)
