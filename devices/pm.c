/*
 * PM1a, PM timer and GPE0 registers (ACPI 6.5, 4.8.4 and 4.8.5). It describes nothing to the guest: the FADT
 * and the DSDT do, from the same constants. Registers may be read and written in any part.
 */
#include "devices/pm.h"

#include "devices/bytewise.h"
#include "vmm/base/log.h"

enum {
	/* Table 4.11 and 4.12: status and enable have the same places. */
	TMR = 0x0001, GBL = 0x0020, PWRBTN = 0x0100, SLPBTN = 0x0200, RTC = 0x0400,
	ENABLES = TMR | GBL | PWRBTN | SLPBTN | RTC,

	/* Table 4.13. */
	SCI_EN = 0x0001, BM_RLD = 0x0002, SLP_TYP_SHIFT = 10, SLP_TYP = 7 << SLP_TYP_SHIFT, SLP_EN = 0x2000,
	CONTROL_KEPT = BM_RLD | SLP_TYP,

	GPE_BYTES = GPE0_LEN / 2,
};

#define NS_PER_S 1000000000ull
#define PM_HZ    3579545ull /* ACPI 6.5, 4.8.3 */

static void update_sci_locked(struct pm *p)
{
	bool level = p->status & p->enable;

	for (unsigned int i = 0; i < GPE_BYTES; i++)
		level |= (p->gpe_status[i] & p->gpe_enable[i]) != 0;
	if (level == p->sci_level)
		return;
	p->sci_level = level;
	irq_line_set(&p->sci, level);
}

/* --- the PM timer --- */

/* Ticks since power-on, of which the register shows the low PM_TMR_BITS. Split: no product overflows. */
static uint64_t timer_ticks_locked(const struct pm *p)
{
	uint64_t ns = clock_now_ns() - p->timer_start_ns;

	return p->timer_start_ticks + ns / NS_PER_S * PM_HZ + ns % NS_PER_S * PM_HZ / NS_PER_S;
}

/* TMR_STS is set whenever the top bit changes (4.8.4.1.1, table 4.11), also if nobody is told. */
static void timer_catch_up_locked(struct pm *p)
{
	uint64_t half = timer_ticks_locked(p) >> (PM_TMR_BITS - 1);

	if (half == p->timer_half)
		return;
	p->timer_half = half;
	p->status |= TMR;
}

static void timer_schedule_locked(struct pm *p)
{
	uint64_t at, now, left;

	if (!(p->enable & TMR) || (p->status & TMR)) {
		loop_timer_disarm(&p->timer);
		return;
	}
	at = (p->timer_half + 1) << (PM_TMR_BITS - 1);
	now = timer_ticks_locked(p);
	left = at > now ? at - now : 0; /* the bit may have changed a moment ago */
	/* Rounded up: when it expires the bit has changed. */
	loop_timer_arm(&p->timer, left / PM_HZ * NS_PER_S + (left % PM_HZ * NS_PER_S + PM_HZ - 1) / PM_HZ);
}

static void timer_expired(void *ctx)
{
	struct pm *p = ctx;

	pthread_mutex_lock(&p->lock);
	timer_catch_up_locked(p);
	timer_schedule_locked(p);
	update_sci_locked(p);
	pthread_mutex_unlock(&p->lock);
}

static uint64_t tmr_read(void *dev, uint64_t off, unsigned int size)
{
	struct pm *p = dev;
	uint64_t ticks;

	if (off >= PM_TMR_WINDOW)
		return ones(size);
	pthread_mutex_lock(&p->lock);
	ticks = timer_ticks_locked(p) & ((1ull << PM_TMR_BITS) - 1);
	pthread_mutex_unlock(&p->lock);
	return ticks >> (8 * off) & ones(size); /* one sample, whatever the size */
}

static void tmr_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	(void)dev, (void)off, (void)size, (void)val; /* read-only (4.8.4.3) */
}

const struct io_ops pm_tmr_io_ops = { .read = tmr_read, .write = tmr_write };

/* --- PM1a_EVT: status, enable --- */

static uint8_t evt_read8_locked(void *dev, uint64_t off)
{
	const struct pm *p = dev;

	switch (off) {
	case 0:
		return (uint8_t)p->status;
	case 1:
		return (uint8_t)(p->status >> 8);
	case 2:
		return (uint8_t)p->enable;
	case 3:
		return (uint8_t)(p->enable >> 8);
	default:
		return 0xff;
	}
}

static void evt_write8_locked(void *dev, uint64_t off, uint8_t val)
{
	struct pm *p = dev;

	switch (off) {
	case 0: /* status: writing 1 clears */
		p->status &= (uint16_t)~val;
		break;
	case 1:
		p->status &= (uint16_t)~(val << 8);
		break;
	case 2:
		p->enable = (uint16_t)((p->enable & 0xff00) | val) & ENABLES;
		break;
	case 3:
		p->enable = (uint16_t)((p->enable & 0x00ff) | val << 8) & ENABLES;
		break;
	default:
		break;
	}
}

static uint64_t evt_read(void *dev, uint64_t off, unsigned int size)
{
	struct pm *p = dev;
	uint64_t val;

	pthread_mutex_lock(&p->lock);
	timer_catch_up_locked(p);
	update_sci_locked(p);
	val = bytewise_read(p, off, size, evt_read8_locked);
	pthread_mutex_unlock(&p->lock);
	return val;
}

static void evt_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct pm *p = dev;
	uint16_t before;

	pthread_mutex_lock(&p->lock);
	timer_catch_up_locked(p);
	before = (p->enable & TMR) << 1 | (p->status & TMR);
	bytewise_write(p, off, size, val, evt_write8_locked);
	if (((p->enable & TMR) << 1 | (p->status & TMR)) != before)
		timer_schedule_locked(p);
	update_sci_locked(p);
	pthread_mutex_unlock(&p->lock);
}

const struct io_ops pm_evt_io_ops = { .read = evt_read, .write = evt_write };

/* --- PM1a_CNT --- */

static uint8_t cnt_read8_locked(void *dev, uint64_t off)
{
	const struct pm *p = dev;
	/* There is no SMI_CMD to switch ACPI on with, so it is on (ACPI 6.5, 5.2.9: SMI_CMD). */
	uint16_t control = p->control | SCI_EN;

	return off < PM_CNT_WINDOW ? (uint8_t)(control >> (8 * off)) : 0xff;
}

static void cnt_write8_locked(void *dev, uint64_t off, uint8_t val)
{
	struct pm *p = dev;

	if (off == 0)
		p->control = (p->control & 0xff00) | (val & CONTROL_KEPT & 0xff);
	else if (off == 1) /* SLP_EN stays until cnt_write() has seen it */
		p->control = (uint16_t)((p->control & 0x00ff) | (val << 8 & (CONTROL_KEPT | SLP_EN)));
}

static uint64_t cnt_read(void *dev, uint64_t off, unsigned int size)
{
	struct pm *p = dev;
	uint64_t val;

	pthread_mutex_lock(&p->lock);
	val = bytewise_read(p, off, size, cnt_read8_locked);
	pthread_mutex_unlock(&p->lock);
	return val;
}

static void cnt_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct pm *p = dev;
	unsigned int type;
	bool sleep, s5;

	pthread_mutex_lock(&p->lock);
	bytewise_write(p, off, size, val, cnt_write8_locked);
	sleep = p->control & SLP_EN;
	p->control &= (uint16_t)~SLP_EN;
	type = (p->control & SLP_TYP) >> SLP_TYP_SHIFT;
	s5 = sleep && type == PM_SLP_TYP_S5;
	if (sleep && !s5)
		log_warn_once(&p->warned, "pm: the guest enters sleep type %u, which is not there", type);
	pthread_mutex_unlock(&p->lock);
	if (s5)
		p->host->stop(p->host->ctx, STOP_POWEROFF, 0);
}

const struct io_ops pm_cnt_io_ops = { .read = cnt_read, .write = cnt_write };

/* --- GPE block 0: status bytes, enable bytes (4.8.5.1) --- */

static uint8_t gpe_read8_locked(void *dev, uint64_t off)
{
	const struct pm *p = dev;

	if (off < GPE_BYTES)
		return p->gpe_status[off];
	return off < GPE0_LEN ? p->gpe_enable[off - GPE_BYTES] : 0xff;
}

static void gpe_write8_locked(void *dev, uint64_t off, uint8_t val)
{
	struct pm *p = dev;

	if (off < GPE_BYTES)
		p->gpe_status[off] &= (uint8_t)~val;
	else if (off < GPE0_LEN)
		p->gpe_enable[off - GPE_BYTES] = val;
}

static uint64_t gpe_read(void *dev, uint64_t off, unsigned int size)
{
	struct pm *p = dev;
	uint64_t val;

	pthread_mutex_lock(&p->lock);
	val = bytewise_read(p, off, size, gpe_read8_locked);
	pthread_mutex_unlock(&p->lock);
	return val;
}

static void gpe_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct pm *p = dev;

	pthread_mutex_lock(&p->lock);
	bytewise_write(p, off, size, val, gpe_write8_locked);
	update_sci_locked(p);
	pthread_mutex_unlock(&p->lock);
}

const struct io_ops pm_gpe_io_ops = { .read = gpe_read, .write = gpe_write };

/* --- from outside --- */

bool pm_press_power_button(struct pm *p)
{
	bool listens;

	pthread_mutex_lock(&p->lock);
	p->status |= PWRBTN;
	listens = p->enable & PWRBTN;
	update_sci_locked(p);
	pthread_mutex_unlock(&p->lock);
	return listens;
}

void pm_raise_gpe(struct pm *p, unsigned int gpe)
{
	if (gpe >= PM_NR_GPES)
		return;
	pthread_mutex_lock(&p->lock);
	p->gpe_status[gpe / 8] |= (uint8_t)(1u << gpe % 8);
	update_sci_locked(p);
	pthread_mutex_unlock(&p->lock);
}

/* --- life --- */

static void pm_reset(void *dev)
{
	struct pm *p = dev;

	pthread_mutex_lock(&p->lock);
	p->status = p->enable = p->control = 0;
	memset(p->gpe_status, 0, sizeof(p->gpe_status));
	memset(p->gpe_enable, 0, sizeof(p->gpe_enable));
	p->timer_start_ns = clock_now_ns();
	p->timer_start_ticks = p->timer_half = 0;
	p->warned = false;
	p->sci_level = false;
	irq_line_set(&p->sci, false);
	loop_timer_disarm(&p->timer);
	pthread_mutex_unlock(&p->lock);
}

static void pm_save(void *dev, struct buf *b)
{
	struct pm *p = dev;

	pthread_mutex_lock(&p->lock);
	timer_catch_up_locked(p);
	buf_put16(b, p->status);
	buf_put16(b, p->enable);
	buf_put16(b, p->control);
	buf_put64(b, timer_ticks_locked(p));
	buf_put(b, p->gpe_status, sizeof(p->gpe_status));
	buf_put(b, p->gpe_enable, sizeof(p->gpe_enable));
	pthread_mutex_unlock(&p->lock);
}

/* The PM timer goes on from where it was saved: the guest was not running meanwhile. */
static int pm_load(void *dev, struct state_reader *r, struct err *e)
{
	struct pm *p = dev;

	(void)e; /* any bytes are a state; a short body is found by state_close() */
	pthread_mutex_lock(&p->lock);
	p->status = state_get16(r);
	p->enable = state_get16(r) & ENABLES;
	p->control = state_get16(r) & CONTROL_KEPT;
	p->timer_start_ticks = state_get64(r) & (UINT64_MAX >> 1);
	p->timer_start_ns = clock_now_ns();
	p->timer_half = p->timer_start_ticks >> (PM_TMR_BITS - 1);
	state_get(r, p->gpe_status, sizeof(p->gpe_status));
	state_get(r, p->gpe_enable, sizeof(p->gpe_enable));
	timer_schedule_locked(p);
	p->sci_level = false;
	irq_line_set(&p->sci, false);
	update_sci_locked(p);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

const struct dev_ops pm_dev_ops = {
	.version = 1,
	.reset = pm_reset,
	.save = pm_save,
	.load = pm_load,
};

int pm_init(struct pm *p, struct irq_line sci, const struct dev_host *host, struct loop *loop, struct err *e)
{
	int rc;

	*p = (struct pm){ .sci = sci, .host = host, .loop = loop, .timer = { .fd = -1 } };
	rc = loop_timer_init(loop, &p->timer, timer_expired, p, e);
	if (rc < 0)
		return rc;
	pthread_mutex_init(&p->lock, NULL);
	pm_reset(p);
	return 0;
}

void pm_fini(struct pm *p)
{
	loop_timer_fini(p->loop, &p->timer);
	pthread_mutex_destroy(&p->lock);
}
