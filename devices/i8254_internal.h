/*
 * Between i8254.c and i8254_channel.c only. now is in clocks of 1/I8254_HZ s and never goes back. Callers hold the
 * timer's lock.
 */
#ifndef TRELLIS_DEVICES_I8254_INTERNAL_H
#define TRELLIS_DEVICES_I8254_INTERNAL_H

#include "devices/i8254.h"

/* Does the mode repeat itself (2 and 3)? */
bool i8254_channel_is_periodic(const struct i8254_channel *c);

/* Bring the channel up to now. Before any other function here that takes now. */
void i8254_channel_settle(struct i8254_channel *c, uint64_t now);

/* The level of its output pin. */
bool i8254_channel_output(const struct i8254_channel *c, uint64_t now);

/* What the counting element shows, in BCD if the channel counts so. */
uint16_t i8254_channel_count(const struct i8254_channel *c, uint64_t now);

/* A whole count has been written. */
void i8254_channel_write(struct i8254_channel *c, uint16_t val, uint64_t now);

/* Set the gate input. */
void i8254_channel_gate(struct i8254_channel *c, bool gate, uint64_t now);

/* Rising edges of the output in (from, to], while nothing but time passes. */
uint64_t i8254_channel_edges(const struct i8254_channel *c, uint64_t from, uint64_t to);

/* When the next rising edge comes; UINT64_MAX if none. */
uint64_t i8254_channel_next_edge(const struct i8254_channel *c, uint64_t now);

/* Append the channel to b; take it back. Whatever the bytes are, a possible channel comes out. */
void i8254_channel_save(const struct i8254_channel *c, struct buf *b, uint64_t now);
void i8254_channel_load(struct i8254_channel *c, struct state_reader *r, uint64_t now);

#endif
