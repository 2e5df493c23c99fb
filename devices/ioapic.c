/*
 * Registers of the I/O APIC, and when a pin becomes a message. A level-triggered pin sends once and then waits
 * for the end of its interrupt (Remote IRR); an edge-triggered one sends whenever it rises.
 */
#include "devices/ioapic.h"

enum {
	WIN_SELECT = 0x00,
	WIN_DATA = 0x10,
	WIN_EOI = 0x40,
	REG_ID = 0,
	REG_VERSION = 1,
	REG_ARBITRATION = 2,
	REG_TABLE = 0x10,

	/*
	 * 0x20 has the EOI register. KVM's local APICs offer to suppress EOI broadcasts when the IOAPIC is not KVM's
	 * (Linux 6.12, arch/x86/kvm/lapic.c, kvm_apic_set_version()), and some guests take that offer without a
	 * look at our version.
	 */
	VERSION = 0x20,
};

/* Redirection table entry (82093AA datasheet, 3.2.4). */
#define RTE_VECTOR       0xffull
#define RTE_MODE         (7ull << 8) /* delivery mode; 7 is ExtINT */
#define RTE_EXTINT       (7ull << 8)
#define RTE_LOGICAL      (1ull << 11)
#define RTE_REMOTE_IRR   (1ull << 14)
#define RTE_LEVEL        (1ull << 15)
#define RTE_MASKED       (1ull << 16)
#define RTE_WRITABLE     0xfffe00000001afffull /* not delivery status (12), Remote IRR (14), reserved ones */

#define MSI_ADDR         0xfee00000u
#define MSI_ADDR_LOGICAL (1u << 2)
#define MSI_DATA_ASSERT  (1u << 14)
#define MSI_DATA_LEVEL   (1u << 15)

static uint32_t message_addr(uint64_t entry)
{
	uint32_t id_7_0 = (uint32_t)(entry >> 56), id_14_8 = (uint32_t)(entry >> 49) & 0x7f;

	return MSI_ADDR | id_7_0 << 12 | id_14_8 << 5 | (entry & RTE_LOGICAL ? MSI_ADDR_LOGICAL : 0);
}

/* Vector and delivery mode lie where MSI data has them (Intel SDM volume 3A, 11.11.2). */
static uint32_t message_data(uint64_t entry)
{
	return (uint32_t)(entry & (RTE_VECTOR | RTE_MODE)) | MSI_DATA_ASSERT |
	       (entry & RTE_LEVEL ? MSI_DATA_LEVEL : 0);
}

static void send_locked(struct ioapic *a, unsigned int pin)
{
	uint64_t entry = a->entry[pin];

	if ((entry & RTE_MODE) != RTE_EXTINT)
		a->host.send(a->host.ctx, message_addr(entry), message_data(entry));
}

/* Send if the pin is level-triggered, high, open, and not waiting for an EOI. */
static void service_level_locked(struct ioapic *a, unsigned int pin)
{
	uint64_t *entry = &a->entry[pin];

	if ((*entry & (RTE_LEVEL | RTE_MASKED | RTE_REMOTE_IRR)) != RTE_LEVEL || !(a->level & 1u << pin))
		return;
	if ((*entry & RTE_MODE) != RTE_EXTINT)
		*entry |= RTE_REMOTE_IRR;
	send_locked(a, pin);
}

/*
 * Have the EOIs of a level-triggered entry reported. A masked one keeps what it had: its last interrupt may
 * still be in service, and guests write an entry's halves one after the other while it is masked.
 */
static void watch_locked(struct ioapic *a, unsigned int pin)
{
	uint64_t entry = a->entry[pin];
	uint32_t addr = 0, data = 0;

	if (entry & RTE_LEVEL) {
		if (entry & RTE_MASKED && !(entry & RTE_REMOTE_IRR && !a->watched[pin][0]))
			return;
		addr = message_addr(entry);
		data = message_data(entry);
	}
	if (a->watched[pin][0] == addr && a->watched[pin][1] == data)
		return;
	a->watched[pin][0] = addr;
	a->watched[pin][1] = data;
	a->host.watch(a->host.ctx, pin, addr, data);
}

void ioapic_set_line(struct ioapic *a, unsigned int pin, bool level)
{
	uint32_t bit = 1u << pin;
	bool rises;

	pthread_mutex_lock(&a->lock);
	rises = level && !(a->level & bit);
	a->level = level ? a->level | bit : a->level & ~bit;
	/* An edge at a masked pin is lost (82093AA datasheet, 3.2.4, "Interrupt Mask"). */
	if (rises && !(a->entry[pin] & (RTE_LEVEL | RTE_MASKED)))
		send_locked(a, pin);
	else if (rises)
		service_level_locked(a, pin);
	pthread_mutex_unlock(&a->lock);
}

static void eoi_locked(struct ioapic *a, uint8_t vector)
{
	for (unsigned int pin = 0; pin < NR_IOAPIC_PINS; pin++) {
		uint64_t *entry = &a->entry[pin];

		if ((*entry & RTE_VECTOR) != vector || !(*entry & RTE_REMOTE_IRR))
			continue;
		*entry &= ~RTE_REMOTE_IRR;
		service_level_locked(a, pin);
	}
}

void ioapic_eoi(struct ioapic *a, uint8_t vector)
{
	pthread_mutex_lock(&a->lock);
	eoi_locked(a, vector);
	pthread_mutex_unlock(&a->lock);
}

/* --- registers --- */

static void entry_write_locked(struct ioapic *a, unsigned int pin, bool high, uint32_t val)
{
	uint64_t old = a->entry[pin], entry;

	entry = high ? (uint64_t)val << 32 | (uint32_t)old : (old & ~0xffffffffull) | val;
	entry = (entry & RTE_WRITABLE) | (old & RTE_REMOTE_IRR);
	/* Before there was an EOI register, guests ended a stuck interrupt by making its entry edge-triggered. */
	if (!(entry & RTE_LEVEL))
		entry &= ~RTE_REMOTE_IRR;
	a->entry[pin] = entry;
	watch_locked(a, pin); /* first, so that not even the first EOI is missed */
	service_level_locked(a, pin);
}

static uint32_t reg_read_locked(const struct ioapic *a)
{
	unsigned int n = a->index - REG_TABLE;

	switch (a->index) {
	case REG_ID:
	case REG_ARBITRATION:
		return (uint32_t)a->id << 24;
	case REG_VERSION:
		return (NR_IOAPIC_PINS - 1) << 16 | VERSION;
	default:
		return n / 2 < NR_IOAPIC_PINS ? (uint32_t)(a->entry[n / 2] >> 32 * (n % 2)) : 0;
	}
}

static void reg_write_locked(struct ioapic *a, uint32_t val)
{
	unsigned int n = a->index - REG_TABLE;

	if (a->index == REG_ID)
		a->id = val >> 24 & 0xf;
	else if (a->index >= REG_TABLE && n / 2 < NR_IOAPIC_PINS)
		entry_write_locked(a, n / 2, n % 2, val);
}

/* Registers are 32 bits wide at multiples of 16; of a narrower read its part, of a wider one the low half. */
static uint64_t ioapic_read(void *dev, uint64_t off, unsigned int size)
{
	struct ioapic *a = dev;
	uint64_t val = 0;

	pthread_mutex_lock(&a->lock);
	switch (off) {
	case WIN_SELECT:
		val = a->index;
		break;
	case WIN_DATA:
		val = reg_read_locked(a);
		break;
	}
	pthread_mutex_unlock(&a->lock);
	return val & ones(size);
}

static void ioapic_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct ioapic *a = dev;

	(void)size;
	pthread_mutex_lock(&a->lock);
	switch (off) {
	case WIN_SELECT:
		a->index = (uint8_t)val;
		break;
	case WIN_DATA:
		reg_write_locked(a, (uint32_t)val);
		break;
	case WIN_EOI:
		eoi_locked(a, (uint8_t)val);
		break;
	}
	pthread_mutex_unlock(&a->lock);
}

const struct io_ops ioapic_io_ops = { .read = ioapic_read, .write = ioapic_write };

/* --- life --- */

static void ioapic_reset(void *dev)
{
	struct ioapic *a = dev;

	pthread_mutex_lock(&a->lock);
	a->index = a->id = 0;
	for (unsigned int pin = 0; pin < NR_IOAPIC_PINS; pin++) {
		a->entry[pin] = RTE_MASKED;
		watch_locked(a, pin);
	}
	pthread_mutex_unlock(&a->lock);
}

static void ioapic_save(void *dev, struct buf *b)
{
	struct ioapic *a = dev;

	pthread_mutex_lock(&a->lock);
	buf_put8(b, a->index);
	buf_put8(b, a->id);
	buf_put32(b, a->level);
	for (unsigned int pin = 0; pin < NR_IOAPIC_PINS; pin++)
		buf_put64(b, a->entry[pin]);
	pthread_mutex_unlock(&a->lock);
}

/* Sends nothing: what was on its way is part of the processors' state. */
static int ioapic_load(void *dev, struct state_reader *r, struct err *e)
{
	struct ioapic *a = dev;

	(void)e; /* any bytes are a state; a short body is found by state_close() */
	pthread_mutex_lock(&a->lock);
	a->index = state_get8(r);
	a->id = state_get8(r) & 0xf;
	a->level = state_get32(r) & ((1u << NR_IOAPIC_PINS) - 1);
	for (unsigned int pin = 0; pin < NR_IOAPIC_PINS; pin++) {
		a->entry[pin] = state_get64(r) & (RTE_WRITABLE | RTE_REMOTE_IRR);
		if (!(a->entry[pin] & RTE_LEVEL))
			a->entry[pin] &= ~RTE_REMOTE_IRR;
		watch_locked(a, pin);
	}
	pthread_mutex_unlock(&a->lock);
	return 0;
}

const struct dev_ops ioapic_dev_ops = {
	.version = 1,
	.reset = ioapic_reset,
	.save = ioapic_save,
	.load = ioapic_load,
};

void ioapic_init(struct ioapic *a, const struct ioapic_host *host)
{
	*a = (struct ioapic){ .host = *host };
	pthread_mutex_init(&a->lock, NULL);
	ioapic_reset(a);
}

void ioapic_fini(struct ioapic *a)
{
	pthread_mutex_destroy(&a->lock);
}
