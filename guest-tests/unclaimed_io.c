/*
 * Ports and addresses nobody owns: reads give all ones, writes vanish, at every size, and the machine goes on.
 *
 * That is how a PC's bus floats; guests probe for devices this way. open-bus=VALUE on the command line is what
 * unclaimed MMIO reads as a 64-bit number (default all ones; QEMU reads 0). The word aligned leaves out unaligned
 * ports, which QEMU reads as 0 as well.
 */
#include "lib/cpu.h"
#include "lib/multiboot.h"
#include "lib/tap.h"

static void unclaimed_check_port(uint16_t port)
{
	unsigned int bad = 0;

	if ((port & 3) && args_has("aligned")) {
		tap_skip("port 0x%x: this machine is known to read 0 from unaligned ports", port);
		return;
	}

	cpu_outb(port, 0x12);
	cpu_outw(port, 0x1234);
	cpu_outl(port, 0x12345678);
	bad += cpu_inb(port) != 0xff;
	bad += cpu_inw(port) != 0xffff;
	bad += cpu_inl(port) != 0xffffffff;
	tap_equal(bad, 0, "port 0x%x reads all ones at every size", port);
}

static void unclaimed_check_address(uint64_t address)
{
	uint64_t ones = args_number("open-bus", ~0ULL);
	unsigned int bad = 0;

	if (multiboot_touches_ram(address & ~0xfffULL, 0x2000))
		tap_bail("0x%lx is RAM", address);
	cpu_write8(address, 0x12);
	cpu_write16(address, 0x1234);
	cpu_write32(address, 0x12345678);
	cpu_write64(address, 0x123456789abcdef0);
	bad += cpu_read8(address) != (uint8_t)ones;
	bad += cpu_read16(address) != (uint16_t)ones;
	bad += cpu_read32(address) != (uint32_t)ones;
	bad += cpu_read64(address) != ones;
	tap_equal(bad, 0, "address 0x%lx reads 0x%lx at every size", address, ones);
}

void test_main(void)
{
	static const uint16_t ports[] = { 0x2e0, 0x3220, 0x5556, 0xd001, 0xfff0 };
	/* 0xd8000000 is in the PCI window of all our machines and no BAR is there; others are odd on purpose. */
	static const uint64_t addresses[] = { 0xd8000000, 0xd8000001, 0xd8000ffd, 0xfd7ffffc };
	uint32_t split;

	for (unsigned int i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		unclaimed_check_port(ports[i]);
	for (unsigned int i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		unclaimed_check_address(addresses[i]);
	/* A dword over COM1's last port and the one behind it: the UART's byte must not leak into nothing. */
	cpu_outb(0x3ff, 0x5a);
	split = cpu_inl(0x3fc);
	tap_check(split != 0, "a dword read over several UART registers returns: 0x%x", split);
	cpu_outb(0x3ff, 0);
	for (int i = 0; i < 16; i++)
		cpu_outb(0x80, (uint8_t)i);
	tap_check(true, "port 0x80 takes every POST code");
	cpu_outw(0x80, 0x1234);
	cpu_outl(0x80, 0x12345678);
	tap_check(true, "at every size");
}
