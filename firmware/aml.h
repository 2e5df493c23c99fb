/*
 * A writer of AML, the byte code of ACPI (ACPI 6.5, chapter 20): each call appends one term to a
 * buffer, in the smallest encoding, which is also what iasl chooses. Terms that hold others are opened
 * and closed; errors stick in the buffer. It does not know what makes sense inside what: iasl judges
 * the result in the unit tests.
 */
#ifndef TRELLIS_FIRMWARE_AML_H
#define TRELLIS_FIRMWARE_AML_H

#include "vmm/base/buf.h"

/*
 * Names. path: segments of 1 to 4 characters (padded with '_'), separated by '.', at most 255, after an
 * optional '\' or any number of '^' (20.2.2). A path on its own is a reference to the object, or a call
 * of the method whose arguments follow.
 */
void aml_put_path(struct buf *b, const char *path);

/* Data: an integer of up to 64 bits (the DSDT has revision 2), a string of ASCII (20.2.3). */
void aml_put_integer(struct buf *b, uint64_t v);
void aml_put_string(struct buf *b, const char *s);

/* "PNP0A08" as the integer that _HID wants: three capital letters, four hex digits (19.6, EISAID). */
void aml_put_eisaid(struct buf *b, const char *id);

/*
 * A universally unique id, as text of 36 characters, as the buffer that ToUUID() makes (19.6): 16
 * bytes with the first three groups little-endian.
 */
void aml_put_uuid(struct buf *b, const char *text);

/* Name (path, ...): the data object that is put next becomes its value. The others bring the value. */
void aml_put_name(struct buf *b, const char *path);
void aml_put_name_integer(struct buf *b, const char *path, uint64_t v);
void aml_put_name_string(struct buf *b, const char *path, const char *s);
void aml_put_name_eisaid(struct buf *b, const char *path, const char *id);

/*
 * Terms that hold other terms. Each open returns the mark that its aml_close() needs; they nest like
 * brackets. nr: elements of the package, at most 255. nr_args: 0 to 7. If: the predicate is put next,
 * then what to do; Else stands directly behind a closed If.
 */
size_t aml_open_scope(struct buf *b, const char *path);
size_t aml_open_device(struct buf *b, const char *path);
size_t aml_open_method(struct buf *b, const char *path, unsigned int nr_args);
size_t aml_open_package(struct buf *b, unsigned int nr);
size_t aml_open_if(struct buf *b);
size_t aml_open_else(struct buf *b);
void aml_close(struct buf *b, size_t mark);

/* Operators and statements whose operands are put next, in the order of the name (20.2.5). */
enum aml_op {
	AML_LOCAL0 = 0x60, /* no operands; AML_LOCAL0 + n, n up to 7 */
	AML_ARG0 = 0x68,   /* no operands; AML_ARG0 + n, n up to 6 */
	AML_STORE = 0x70,  /* value, target */
	AML_AND = 0x7b,    /* a, b, target */
	AML_OR = 0x7d,     /* a, b, target */
	AML_DEREF = 0x83,  /* reference */
	AML_INDEX = 0x88,  /* buffer or package, index, target */
	AML_LNOT = 0x92,   /* a */
	AML_LEQUAL = 0x93, /* a, b */
	AML_LLESS = 0x95,  /* a, b */
	AML_RETURN = 0xa4, /* value */
};
void aml_put_op(struct buf *b, enum aml_op op);

/* The target of an operator whose result only goes upwards. */
void aml_put_no_target(struct buf *b);

/*
 * ResourceTemplate () { ... }: a buffer of descriptors with an end tag (ACPI 6.5, 6.4). Windows are
 * what a bridge passes on (ResourceProducer), everything else is what a device uses itself.
 */
size_t aml_open_resources(struct buf *b);
void aml_close_resources(struct buf *b, size_t mark);

/* IO: len ports at a fixed port. */
void aml_put_io(struct buf *b, uint16_t port, uint8_t len);

/* IRQNoFlags: an ISA interrupt, edge triggered, for this device alone. irq: 0 to 15. */
void aml_put_irq(struct buf *b, unsigned int irq);

/* IRQ (Edge, ActiveHigh, Shared): an ISA interrupt that other devices may have, too. */
void aml_put_irq_shared(struct buf *b, unsigned int irq);

/* Memory32Fixed (ReadWrite, ...): len bytes at base. */
void aml_put_memory32_fixed(struct buf *b, uint32_t base, uint32_t len);

/* WordBusNumber, WordIO: first to last. */
void aml_put_bus_window(struct buf *b, uint16_t first, uint16_t last);
void aml_put_io_window(struct buf *b, uint16_t first, uint16_t last);

/* DWordMemory, QWordMemory (NonCacheable, ReadWrite): len bytes at base; len > 0, no overflow. */
void aml_put_memory32_window(struct buf *b, uint32_t base, uint32_t len);
void aml_put_memory64_window(struct buf *b, uint64_t base, uint64_t len);

#endif
