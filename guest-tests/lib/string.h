/* The handful of string functions the tests use. gcc and clang may call the mem* ones on their own. */
#ifndef GUEST_STRING_H
#define GUEST_STRING_H

#include <stdbool.h>
#include <stddef.h>

/* Copy n bytes between regions which do not overlap; returns to. */
void *memcpy(void *to, const void *from, size_t n);
/* Copy n bytes between regions which may overlap; returns to. */
void *memmove(void *to, const void *from, size_t n);
/* Fill n bytes; returns to. */
void *memset(void *to, int byte, size_t n);
/* Compare n bytes as unsigned chars: <0, 0 or >0. */
int memcmp(const void *a, const void *b, size_t n);
/* Length of a string without its terminator. */
size_t strlen(const char *s);
/* True if both strings are equal. */
bool string_equals(const char *a, const char *b);
/* True if s begins with prefix. */
bool string_begins(const char *s, const char *prefix);

#endif
