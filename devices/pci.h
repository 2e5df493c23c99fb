/*
 * A PCIe root complex with one bus, and what a function on it is made of: configuration space, BARs,
 * INTx, MSI, MSI-X, power management and function-level reset. It moves no data and knows no device:
 * a device embeds a struct pci_func, describes itself, and hears of its registers through io_ops.
 * No bridges, no hot-plug slots yet, no expansion ROMs, no PME, no AER.
 *
 * Locks: root->lock guards everything a guest can change here. Order: device -> root->lock -> machine
 * (bus, interrupts). So a device may call any function below under its own lock, and nothing here calls
 * a device (registers, configuration hook, reset callback) with root->lock held.
 *
 * Sources: PCI Local Bus 3.0 (header, BARs, MSI, MSI-X), PCI Express Base 4.0, PCI Power Management 1.2.
 * PCI_* register names are the kernel's (linux/pci_regs.h).
 */
#ifndef TRELLIS_DEVICES_PCI_H
#define TRELLIS_DEVICES_PCI_H

#include <linux/pci.h>
#include <pthread.h>
#include <stdatomic.h>

#include "vmm/base/dev.h"

enum { PCI_NR_DEVFN = 256, PCI_NR_BARS = 6, PCI_NR_LINES = 4, PCI_MSI_MAX = 32, PCI_MSIX_MAX = 2048 };

/* Kinds of BAR, for pci_add_bar(). */
enum pci_bar_flags {
	PCI_BAR_MEM32 = 0,
	PCI_BAR_MEM64 = 1 << 0,    /* takes BAR n and n + 1 */
	PCI_BAR_PREFETCH = 1 << 1,
	PCI_BAR_IO = 1 << 2,
};

/* Guest-physical (io: port) space that the root routes to BARs; nothing outside is ever decoded. */
struct pci_windows {
	uint64_t mem32_base, mem32_len;
	uint64_t mem64_base, mem64_len; /* len 0: none */
	uint64_t io_base, io_len;       /* len 0: none */
};

/*
 * A place in a BAR whose writes signal an eventfd without an exit to us. Memory of the device, which
 * must not move while it is added. The machine may run out of these: the BAR's own write() must do the
 * same for that offset.
 */
struct pci_doorbell {
	unsigned int bar;          /* set by the device; constant while added, as are the next three */
	uint64_t off;
	unsigned int len;          /* 1, 2, 4, 8; 0: writes of any length */
	int fd;                    /* borrowed eventfd */
	bool live;                 /* guarded by root->lock; attached at the BAR's present place */
	struct pci_doorbell *next; /* guarded by root->lock */
};

struct pci_bar {
	uint64_t size;             /* a power of two; 0: no such BAR. Constant, as are the next three */
	unsigned int flags;
	const struct io_ops *ops;  /* borrowed; NULL: reads 0, writes are dropped */
	void *dev;                 /* borrowed */
	bool mapped;               /* guarded by root->lock; the machine decodes it at addr */
	uint64_t addr;             /* guarded by root->lock */
	struct pci_doorbell *doorbells; /* guarded by root->lock; borrowed elements */
};

struct pci_vector {
	struct msi_vector v;       /* owned; v.fd is constant from pci_add_msi*() to pci_func_fini() */
	uint64_t addr;             /* guarded by root->lock, as are the next two: the message it is set to */
	uint32_t data;
	bool on;                   /* the machine delivers it */
};

struct pci_msi {
	unsigned int cap;          /* offset of the capability; 0: none. Constant, as is nr */
	unsigned int nr;
	bool maskable;
	struct pci_vector *vec;    /* owned; nr */
	atomic_uint nr_on;         /* messages the guest has allocated, 0 while disabled; written under root->lock */
};

struct pci_msix {
	unsigned int cap;          /* offset of the capability; 0: none. Constant down to pba_off */
	unsigned int nr;
	unsigned int bar;
	uint64_t table_off, pba_off;
	uint8_t *table;            /* owned; 16 * nr bytes as the guest sees them; guarded by root->lock */
	struct pci_vector *vec;    /* owned; nr */
	atomic_bool on;            /* enabled by the guest; written under root->lock */
};

struct pci_ids {
	uint16_t vendor, device;
	uint16_t subvendor, subdevice;
	uint32_t class;            /* base class << 16 | sub class << 8 | interface */
	uint8_t revision;
	uint8_t pin;               /* 0: no INTx; 1 to 4: INTA to INTD */
};

struct pci_root;

/* One function. Embedded in its device; must not move once added to a root. */
struct pci_func {
	const char *name;              /* borrowed; for messages. Constant after setup, down to hook_dev */
	const struct dev_host *host;   /* borrowed */
	struct pci_root *root;         /* borrowed; NULL while on no bus */
	unsigned int devfn;
	void (*flr)(void *dev);        /* see pci_add_express() */
	void *flr_dev;
	unsigned int next_cap, last_cap;
	unsigned int express, pm;      /* offsets of capabilities; 0: none */
	unsigned int hook_off, hook_len;
	const struct io_ops *hook_ops;
	void *hook_dev;

	uint8_t config[PCI_CFG_SPACE_EXP_SIZE];  /* guarded by root->lock */
	uint8_t initial[PCI_CFG_SPACE_EXP_SIZE]; /* after power-on; constant, as are the masks */
	uint8_t wmask[PCI_CFG_SPACE_EXP_SIZE];   /* bits the guest can write */
	uint8_t w1c[PCI_CFG_SPACE_EXP_SIZE];     /* bits the guest clears by writing 1 */

	struct pci_bar bar[PCI_NR_BARS];
	struct pci_msi msi;
	struct pci_msix msix;
	bool intx_level;               /* guarded by root->lock; what the device wants */
	bool intx_driven;              /* guarded by root->lock; counted in root->line_users */
	atomic_bool bus_master;        /* Bus Master Enable; written under root->lock */
	bool warned;                   /* guarded by root->lock; one warning per reset */
};

struct pci_root {
	pthread_mutex_t lock;
	const struct dev_host *host;            /* borrowed */
	struct pci_windows windows;             /* constant */
	struct irq_line line[PCI_NR_LINES];     /* constant; INTA-INTD after the swizzle */
	unsigned int line_users[PCI_NR_LINES];  /* guarded by lock; functions holding the line up */
	struct pci_func *func[PCI_NR_DEVFN];    /* guarded by lock; borrowed */
	uint32_t address;                       /* guarded by lock; the register at port 0xcf8 */
	bool refused;                           /* guarded by lock; a BAR waits for its place to be free */
	struct pci_func bridge;                 /* the host bridge, 00:00.0 */
};

/* ---- the root, for the machine ---- */

/*
 * Windows for the machine to place; dev is the struct pci_root.
 * pci_ecam_ops  256 MiB, bus << 20 | device << 15 | function << 12 | register (PCIe 4.0, 7.2.2)
 * pci_addr_ops  port 0xcf8, accesses of exactly 4 bytes; others are not PCI's (PCI 3.0, 3.2.2.3.2)
 * pci_data_ops  ports 0xcfc to 0xcff, any size
 */
extern const struct io_ops pci_ecam_ops, pci_addr_ops, pci_data_ops;

/*
 * The life of the root (dev: struct pci_root) with all functions on it. reset unmaps every BAR and
 * forgets pending messages; pci_root_assign() is to follow. Devices reset, save and load their own
 * registers themselves; load the root before them or after, it makes no difference.
 */
extern const struct dev_ops pci_root_ops;

/*
 * Make a root with a host bridge at 00:00.0.
 * windows  where BARs may lie, copied
 * lines    four interrupt lines, copied; INTx of a device arrives at line (device + pin) % 4, pin 0 = INTA
 * fini takes all functions off (it does not fini them; they may be gone before or go after); safe on an
 * all-zero struct. Main thread.
 */
void pci_root_init(struct pci_root *root, const struct dev_host *host, const struct pci_windows *windows,
		   const struct irq_line lines[PCI_NR_LINES]);
void pci_root_fini(struct pci_root *root);

/*
 * Put a function, fully described, at devfn (PCI_DEVFN(slot, function)) of bus 0, or take it off, with
 * its BARs unmapped and its interrupts silent. Function 0 of a slot comes first and goes last. A function
 * added while the guest runs has no addresses: the guest assigns them.
 * Returns 0; -EBUSY or -EINVAL with a sentence. Main thread; for remove no vCPU may run, or the device
 * must stay in memory until every access that began before has ended.
 */
MUST_CHECK int pci_root_add(struct pci_root *root, unsigned int devfn, struct pci_func *f, struct err *e);
void pci_root_remove(struct pci_root *root, struct pci_func *f);

/* The first slot from 1 up whose eight functions are all free, as a devfn; -ENOSPC when there is none. */
int pci_root_free_slot(struct pci_root *root);

/*
 * Do what firmware does before a kernel starts: give every BAR an address, switch decoding on, and write
 * the GSI into Interrupt Line. All BARs go below 4 GiB, reachable for every guest, while they fit: 32-bit
 * ones first; 64-bit ones go up when they do not. Bus mastering stays off, as its driver's business.
 * Returns 0; -ENOSPC with a sentence naming the function that does not fit. Main thread, no vCPU running.
 */
MUST_CHECK int pci_root_assign(struct pci_root *root, struct err *e);

/* ---- describing a function: setup, before pci_root_add() ---- */

/*
 * Begin. name and host are borrowed for the life of f. pci_func_fini() takes f off its root, closes its
 * vectors, and is safe on an all-zero struct; the device's threads must have ended. Main thread.
 */
void pci_func_init(struct pci_func *f, const struct dev_host *host, const struct pci_ids *ids,
		   const char *name);
void pci_func_fini(struct pci_func *f);

/*
 * Have BAR n (PCI_BAR_MEM64: n and n + 1).
 * size   a power of two: 16 bytes or more of memory, 4 to 256 ports
 * ops    called with dev and an offset into the BAR by vCPU threads, without any lock; may be NULL
 */
void pci_add_bar(struct pci_func *f, unsigned int n, uint64_t size, unsigned int flags,
		 const struct io_ops *ops, void *dev);

/* A capability of len bytes, id and next pointer included, all zero and read-only. Returns its offset. */
unsigned int pci_add_cap(struct pci_func *f, uint8_t id, unsigned int len);

/* The value of a register after power-on, and which of its bits the guest can write. size 1, 2, 4. */
void pci_config_set(struct pci_func *f, unsigned int off, unsigned int size, uint32_t val);
void pci_config_writable(struct pci_func *f, unsigned int off, unsigned int size, uint32_t mask);

/*
 * Have accesses to [off, off + len) of the configuration space (dword aligned) go to ops instead, with an
 * offset from off and without any lock: virtio's window into its BARs needs it (virtio 1.2, 4.1.4.9). Such
 * an access has size 1, 2 or 4 and stays inside one dword. One hook per function.
 */
void pci_config_hook(struct pci_func *f, unsigned int off, unsigned int len, const struct io_ops *ops,
		     void *dev);

/*
 * PCI Express capability, version 2, of a root complex integrated endpoint.
 * flr  NULL: no function-level reset. Otherwise called on the vCPU's thread that asked for it, without any
 *      lock, after the configuration space is as after power-on; on return nothing of the device's own
 *      may be under way (PCIe 4.0, 6.6.2). Two vCPUs may ask at the same time.
 */
void pci_add_express(struct pci_func *f, void (*flr)(void *dev), void *dev);

/* Power management: D0 and D3hot. D3hot keeps all state and keeps the function working: guests see no harm. */
void pci_add_pm(struct pci_func *f);

/*
 * MSI with 64-bit addresses.
 * nr        messages, a power of two up to PCI_MSI_MAX
 * maskable  with per-vector masking
 * Returns 0 or the error of msi_open() with a sentence; f can be given to pci_func_fini() then.
 */
MUST_CHECK int pci_add_msi(struct pci_func *f, unsigned int nr, bool maskable, struct err *e);

/*
 * MSI-X; the BAR must have been added. The table (16 * nr bytes) and the pending bits (8 bytes for each
 * 64) are served here, the rest of that BAR by its ops.
 * table_off, pba_off  offsets in BAR bar, multiples of 8, not overlapping
 * nr                  1 to PCI_MSIX_MAX vectors
 * Returns as pci_add_msi().
 */
MUST_CHECK int pci_add_msix(struct pci_func *f, unsigned int bar, uint64_t table_off, uint64_t pba_off,
			    unsigned int nr, struct err *e);

/* ---- a function at work: any thread, also under the device's lock ---- */

/*
 * Set the level of the function's INTx. It arrives only while the guest has neither disabled it nor
 * enabled MSI or MSI-X, so a device may keep it up to date without looking. Takes root->lock.
 */
void pci_intx_set(struct pci_func *f, bool level);

/*
 * Send message n. A masked one stays pending. Lock-free: one write(2) to an eventfd.
 * Returns false, having done nothing, when MSI (MSI-X) is disabled or there is no such vector. For MSI the
 * guest may have allocated fewer messages than there are: n is taken modulo that number.
 */
bool pci_msi_raise(struct pci_func *f, unsigned int n);
bool pci_msix_raise(struct pci_func *f, unsigned int n);

/*
 * The eventfd of message n, for those who signal it directly (a doorbell, vhost); constant and valid until
 * pci_func_fini(). What is signalled while MSI (MSI-X) is disabled is forgotten when it is enabled.
 * -EINVAL: no such vector. Lock-free.
 */
int pci_msi_fd(const struct pci_func *f, unsigned int n);
int pci_msix_fd(const struct pci_func *f, unsigned int n);

/* Has the guest enabled it? Lock-free; may change at any time. */
bool pci_msi_enabled(struct pci_func *f);
bool pci_msix_enabled(struct pci_func *f);

/* May the function access memory (Bus Master Enable)? Lock-free; may change at any time. */
bool pci_bus_master(struct pci_func *f);

/* Read a register of the function's own configuration space; not through the hook. Takes root->lock. */
uint32_t pci_config_get(struct pci_func *f, unsigned int off, unsigned int size);

/*
 * Add or remove a doorbell; it follows its BAR wherever the guest moves it. May be called at any time,
 * before pci_root_add() too; adding it again, or removing one that is not added, does nothing. Takes
 * root->lock.
 */
void pci_doorbell_add(struct pci_func *f, struct pci_doorbell *d);
void pci_doorbell_remove(struct pci_func *f, struct pci_doorbell *d);

#endif
