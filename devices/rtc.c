/*
 * The MC146818's registers and interrupts. Nothing ticks: whoever looks brings the registers up to date with
 * the host's clock, and the timer only runs while an interrupt is enabled that has not been raised yet. What
 * the clock's bytes mean as a date is rtc_time.c's business.
 */
#include "devices/rtc.h"

#include <time.h>

#include "devices/bytewise.h"
#include "devices/rtc_time.h"

enum {
	REG_A = 0x0a, REG_B = 0x0b, REG_C = 0x0c, REG_D = 0x0d,

	A_UIP = 0x80, A_RATE = 0x0f,
	A_RUN_MAX = 0x2f,  /* dividers above 010 hold the chain in reset (table 4) */
	A_USUAL = 0x26,    /* 32768 Hz, 1024 Hz periodic */

	B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10,
	B_ENABLES = B_PIE | B_AIE | B_UIE,

	C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10, /* the flags lie where their enables do */
	D_VRT = 0x80,

	CMOS_EQUIPMENT = 0x14, CMOS_BASE_KB = 0x15, CMOS_EXT_KB = 0x17, CMOS_SUM = 0x2e,
	CMOS_EXT_KB_POST = 0x30, CMOS_ABOVE_16M = 0x34, CMOS_ABOVE_4G = 0x5b,
};

#define NS_PER_S 1000000000ll

/* From the rise of UIP to the update: at least 244 us of warning, then 1984 us of update (table 6). */
#define UIP_NS (244000ll + 1984000ll)

/* The host's clock may be stepped, so a far alarm is looked at again after this long. */
#define LOOK_AGAIN_NS (60 * NS_PER_S)

static int64_t host_utc_ns(void *ctx)
{
	struct timespec ts;

	(void)ctx;
	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int64_t now_ns_locked(const struct rtc *t)
{
	return t->clock.utc_ns(t->clock.ctx) + t->phase_ns;
}

static int64_t whole_seconds(int64_t ns)
{
	return ns / NS_PER_S - (ns % NS_PER_S < 0);
}

static int64_t into_second(int64_t ns)
{
	return ns - whole_seconds(ns) * NS_PER_S;
}

static bool chain_runs(const struct rtc *t)
{
	return t->reg[REG_A] <= A_RUN_MAX;
}

static bool updates_run(const struct rtc *t)
{
	return chain_runs(t) && !(t->reg[REG_B] & B_SET);
}

/* --- the periodic interrupt, on the monotonic clock --- */

/* Length of a period in 1/32768 s (table 5), 0: none. Rates 1 and 2 are 8 and 9 again. */
static uint64_t period_ticks(const struct rtc *t)
{
	unsigned int rate = t->reg[REG_A] & A_RATE;

	if (rate == 0 || !chain_runs(t))
		return 0;
	return 1ull << (rate <= 2 ? rate + 6 : rate - 1);
}

static uint64_t periods_now(const struct rtc *t)
{
	uint64_t ns = clock_now_ns(), period = period_ticks(t);

	if (!period)
		return 0;
	return (ns / NS_PER_S * 32768 + ns % NS_PER_S * 32768 / NS_PER_S) / period;
}

/* Nanoseconds until another period has passed, at least 1. */
static uint64_t next_period_ns(const struct rtc *t)
{
	uint64_t tick = (periods_now(t) + 1) * period_ticks(t);
	uint64_t at = tick / 32768 * NS_PER_S + (tick % 32768 * NS_PER_S + 32767) / 32768;
	uint64_t now = clock_now_ns();

	return at > now ? at - now : 1;
}

/* --- keeping up --- */

static void update_irq_locked(struct rtc *t)
{
	bool level = t->reg[REG_C] & t->reg[REG_B] & B_ENABLES;

	if (level)
		t->reg[REG_C] |= C_IRQF;
	else
		t->reg[REG_C] &= (uint8_t)~C_IRQF;
	if (level == t->irq_level)
		return;
	t->irq_level = level;
	irq_line_set(&t->irq, level);
}

/* Bring registers and flags up to this moment. */
static void catch_up_locked(struct rtc *t)
{
	int64_t seconds = whole_seconds(now_ns_locked(t)), passed = seconds - t->base_s;
	int64_t alarm;

	t->base_s = seconds;
	if (updates_run(t) && passed != 0) {
		alarm = rtc_time_to_alarm(t->reg);
		t->reg[REG_C] |= C_UF;
		if (alarm && passed >= alarm)
			t->reg[REG_C] |= C_AF;
		rtc_time_add(t->reg, passed);
	}
	if (period_ticks(t) && periods_now(t) != t->periods)
		t->reg[REG_C] |= C_PF;
}

/* Have the timer look again when the next enabled flag may rise. While IRQF is set, none can. */
static void schedule_locked(struct rtc *t)
{
	uint64_t delay = UINT64_MAX;
	int64_t alarm, to_second;

	if (t->irq_level || !(t->reg[REG_B] & B_ENABLES)) {
		loop_timer_disarm(&t->timer);
		return;
	}
	if ((t->reg[REG_B] & B_PIE) && period_ticks(t))
		delay = next_period_ns(t);
	to_second = NS_PER_S - into_second(now_ns_locked(t));
	if ((t->reg[REG_B] & B_UIE) && updates_run(t))
		delay = MIN(delay, (uint64_t)to_second);
	if ((t->reg[REG_B] & B_AIE) && updates_run(t) && (alarm = rtc_time_to_alarm(t->reg)) != 0)
		delay = MIN(delay, (uint64_t)MIN(to_second + (alarm - 1) * NS_PER_S, LOOK_AGAIN_NS));
	if (delay == UINT64_MAX)
		loop_timer_disarm(&t->timer);
	else
		loop_timer_arm(&t->timer, delay);
}

static void timer_expired(void *ctx)
{
	struct rtc *t = ctx;

	pthread_mutex_lock(&t->lock);
	catch_up_locked(t);
	update_irq_locked(t);
	schedule_locked(t);
	pthread_mutex_unlock(&t->lock);
}

/* --- registers --- */

static void a_write_locked(struct rtc *t, uint8_t val)
{
	bool ran = chain_runs(t);

	t->reg[REG_A] = val & (uint8_t)~A_UIP;
	if (!ran && chain_runs(t)) {
		/* Datasheet, "Divider control": the first update comes half a second after this. */
		t->phase_ns = into_second(NS_PER_S / 2 - t->clock.utc_ns(t->clock.ctx));
		t->base_s = whole_seconds(now_ns_locked(t));
	}
	t->periods = periods_now(t);
}

static void b_write_locked(struct rtc *t, uint8_t val)
{
	/* Setting SET ends the update interrupt (datasheet, register B). */
	if (val & B_SET)
		val &= (uint8_t)~B_UIE;
	t->reg[REG_B] = val;
}

static uint8_t c_read_locked(struct rtc *t)
{
	uint8_t val = t->reg[REG_C];

	t->reg[REG_C] = 0;
	t->periods = periods_now(t);
	update_irq_locked(t);
	schedule_locked(t);
	return val;
}

static uint8_t data_read_locked(struct rtc *t)
{
	catch_up_locked(t);
	update_irq_locked(t);
	switch (t->index) {
	case REG_A:
		if (updates_run(t) && into_second(now_ns_locked(t)) >= NS_PER_S - UIP_NS)
			return t->reg[REG_A] | A_UIP;
		return t->reg[REG_A];
	case REG_C:
		return c_read_locked(t);
	default:
		return t->reg[t->index];
	}
}

static void data_write_locked(struct rtc *t, uint8_t val)
{
	catch_up_locked(t);
	switch (t->index) {
	case REG_A:
		a_write_locked(t, val);
		break;
	case REG_B:
		b_write_locked(t, val);
		break;
	case REG_C: /* read-only */
	case REG_D:
		return;
	default:
		t->reg[t->index] = val;
		if (t->index > REG_D)
			return;
	}
	update_irq_locked(t);
	schedule_locked(t);
}

static uint8_t rtc_read8_locked(void *dev, uint64_t off)
{
	/* Port 0x70 cannot be read on a PC/AT. */
	return off == 1 ? data_read_locked(dev) : 0xff;
}

static void rtc_write8_locked(void *dev, uint64_t off, uint8_t val)
{
	struct rtc *t = dev;

	if (off == 0)
		t->index = val & 0x7f; /* bit 7 gates NMI, of which there is none to gate */
	else if (off == 1)
		data_write_locked(t, val);
}

static uint64_t rtc_read(void *dev, uint64_t off, unsigned int size)
{
	struct rtc *t = dev;
	uint64_t val;

	pthread_mutex_lock(&t->lock);
	val = bytewise_read(t, off, size, rtc_read8_locked);
	pthread_mutex_unlock(&t->lock);
	return val;
}

static void rtc_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct rtc *t = dev;

	pthread_mutex_lock(&t->lock);
	bytewise_write(t, off, size, val, rtc_write8_locked);
	pthread_mutex_unlock(&t->lock);
}

const struct io_ops rtc_io_ops = { .read = rtc_read, .write = rtc_write };

/* --- life --- */

/*
 * The chip's RESET pin (datasheet) clears enables and flags. Format and divider are put right as well, which
 * is otherwise firmware's work and not every guest's: FreeBSD 14 assumes BCD.
 */
static void rtc_reset(void *dev)
{
	struct rtc *t = dev;

	pthread_mutex_lock(&t->lock);
	catch_up_locked(t);
	t->index = 0;
	rtc_time_reformat(t->reg, RTC_24H);
	t->reg[REG_A] = A_USUAL;
	t->reg[REG_C] = 0;
	t->reg[REG_D] = D_VRT;
	t->periods = periods_now(t);
	t->irq_level = false;
	irq_line_set(&t->irq, false);
	loop_timer_disarm(&t->timer);
	pthread_mutex_unlock(&t->lock);
}

static void rtc_save(void *dev, struct buf *b)
{
	struct rtc *t = dev;

	pthread_mutex_lock(&t->lock);
	catch_up_locked(t);
	buf_put8(b, t->index);
	buf_put(b, t->reg, sizeof(t->reg));
	buf_put64(b, (uint64_t)t->phase_ns);
	buf_put64(b, (uint64_t)t->base_s);
	pthread_mutex_unlock(&t->lock);
}

/* The clock went on meanwhile, as one with a battery does. */
static int rtc_load(void *dev, struct state_reader *r, struct err *e)
{
	struct rtc *t = dev;

	(void)e; /* any bytes are a clock's state; a short body is found by state_close() */
	pthread_mutex_lock(&t->lock);
	t->index = state_get8(r) & 0x7f;
	state_get(r, t->reg, sizeof(t->reg));
	t->reg[REG_A] &= (uint8_t)~A_UIP;
	t->reg[REG_D] = D_VRT;
	t->phase_ns = into_second((int64_t)(state_get64(r) % NS_PER_S));
	t->base_s = (int64_t)(state_get64(r) % (1ull << 40)); /* no sum can overflow */
	t->periods = periods_now(t);
	t->irq_level = t->reg[REG_C] & t->reg[REG_B] & B_ENABLES;
	irq_line_set(&t->irq, t->irq_level);
	catch_up_locked(t);
	update_irq_locked(t);
	schedule_locked(t);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

const struct dev_ops rtc_dev_ops = {
	.version = 1,
	.reset = rtc_reset,
	.save = rtc_save,
	.load = rtc_load,
};

/* What a PC/AT's setup leaves in RAM, as QEMU 7.2 and SeaBIOS 1.16 lay it out. */
static void fill_cmos(uint8_t *reg, uint64_t low_ram, uint64_t high_ram)
{
	uint64_t ext_kb = low_ram > MIB ? (low_ram - MIB) / KIB : 0;
	uint64_t above_16m = low_ram > 16 * MIB ? (low_ram - 16 * MIB) / (64 * KIB) : 0;
	uint64_t above_4g = high_ram / (64 * KIB);
	unsigned int sum = 0;

	reg[CMOS_EQUIPMENT] = 0x02; /* a coprocessor; no floppy, no display */
	put_le16(reg + CMOS_BASE_KB, 640);
	put_le16(reg + CMOS_EXT_KB, (uint16_t)MIN(ext_kb, 0xffff));
	put_le16(reg + CMOS_EXT_KB_POST, (uint16_t)MIN(ext_kb, 0xffff));
	put_le16(reg + CMOS_ABOVE_16M, (uint16_t)MIN(above_16m, 0xffff));
	above_4g = MIN(above_4g, 0xffffff);
	put_le16(reg + CMOS_ABOVE_4G, (uint16_t)above_4g);
	reg[CMOS_ABOVE_4G + 2] = (uint8_t)(above_4g >> 16);
	for (unsigned int i = 0x10; i < CMOS_SUM; i++) /* big-endian, of 0x10 to 0x2d (PC/AT, "CMOS RAM") */
		sum += reg[i];
	reg[CMOS_SUM] = (uint8_t)(sum >> 8);
	reg[CMOS_SUM + 1] = (uint8_t)sum;
}

int rtc_init(struct rtc *t, struct irq_line irq, struct loop *loop, const struct rtc_clock *clock,
	     uint64_t low_ram, uint64_t high_ram, struct err *e)
{
	int rc;

	*t = (struct rtc){ .irq = irq, .loop = loop, .timer = { .fd = -1 } };
	t->clock = clock ? *clock : (struct rtc_clock){ .utc_ns = host_utc_ns };
	rc = loop_timer_init(loop, &t->timer, timer_expired, t, e);
	if (rc < 0)
		return rc;
	pthread_mutex_init(&t->lock, NULL);
	fill_cmos(t->reg, low_ram, high_ram);
	t->reg[REG_A] = A_USUAL;
	t->reg[REG_B] = RTC_24H;
	t->base_s = whole_seconds(now_ns_locked(t));
	rtc_time_set(t->reg, t->base_s);
	rtc_reset(t);
	return 0;
}

void rtc_fini(struct rtc *t)
{
	loop_timer_fini(t->loop, &t->timer);
	pthread_mutex_destroy(&t->lock);
}
