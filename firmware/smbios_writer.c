/* Framing of SMBIOS structures (DSP0134 3.3.0, 6.1). What they say is in smbios.c and smbios_cpu.c. */
#include "firmware/smbios_writer.h"

#include <assert.h>

uint16_t smbios_begin(struct smbios *s, uint8_t type, uint8_t len)
{
	uint16_t handle = (uint16_t)s->nr++;

	s->start = s->b->len;
	s->formatted = len;
	s->nr_strings = 0;
	buf_put8(s->b, type);
	buf_put8(s->b, len);
	buf_put16(s->b, handle);
	return handle;
}

void smbios_put_string(struct smbios *s, const char *string)
{
	if (!string || !string[0]) {
		buf_put8(s->b, 0);
		return;
	}
	assert(s->nr_strings < SMBIOS_MAX_STRINGS); /* no structure of ours has more */
	s->strings[s->nr_strings++] = string;
	buf_put8(s->b, (uint8_t)s->nr_strings); /* numbered from 1 */
}

void smbios_end(struct smbios *s)
{
	assert(s->b->failed || s->b->len - s->start == s->formatted); /* our callers count right */
	for (unsigned int i = 0; i < s->nr_strings; i++)
		buf_put(s->b, s->strings[i], strlen(s->strings[i]) + 1);
	if (!s->nr_strings)
		buf_put8(s->b, 0);
	buf_put8(s->b, 0);
	s->largest = MAX(s->largest, s->b->len - s->start);
}
