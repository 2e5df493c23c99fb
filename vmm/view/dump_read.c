/* Raw CPUID dumps as text. */
#include "vmm/view/dump_read.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A line of a dump has about 80 characters; 4096 processors with all entries that fit are about 85 MB. */
enum { MAX_LINE = 256, MAX_LINES = TOPO_MAX_CPUS * (CPUID_MAX_ENTRIES + 1) };

struct reader_state {
	struct dump *d;
	struct cpuid_table *table; /* of the processor being read */
	bool open;                 /* there is one */
	unsigned int number;       /* what its heading says */
	const char *path;
	unsigned int line;
	struct err *e;
};

PRINTF(2, 3) static int bad(struct reader_state *s, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!s->line) /* there is none */
		return err_usage(s->e, "%.256s: %s", s->path, text);
	return err_usage(s->e, "%.256s:%u: %s", s->path, s->line, text);
}

/* A table has been read: keep what is needed of it. */
static int close_cpu(struct reader_state *s)
{
	struct dump *d = s->d;
	struct leaves *more;

	if (!s->open)
		return 0;
	if (!cpuid_get(s->table, 0, 0))
		return bad(s, "CPU %u has no leaf 0", s->number);
	if (d->nr_cpus == TOPO_MAX_CPUS)
		return bad(s, "there are more than %d CPUs", TOPO_MAX_CPUS);
	if (!(d->nr_cpus & (d->nr_cpus - 1))) { /* a power of two, or none: all places are taken */
		more = reallocarray(d->cpu, MAX(2 * d->nr_cpus, 1u), sizeof(*more));
		if (!more)
			return err_set(s->e, -ENOMEM, "out of memory");
		d->cpu = more;
	}
	leaves_read(s->table, LEAVES_NO_APIC_ID, &d->cpu[d->nr_cpus]);
	if (!d->nr_cpus)
		memcpy(d->first, s->table, sizeof(*d->first));
	d->nr_cpus++;
	s->open = false;
	s->table->nent = 0;
	return 0;
}

/* "0x" and up to eight hexadecimal digits. Returns what follows, or NULL. */
static const char *number(const char *at, uint32_t *out)
{
	unsigned int digits = 0;
	uint32_t v = 0;

	if (at[0] != '0' || at[1] != 'x')
		return NULL;
	for (at += 2;; at++, digits++) {
		unsigned int digit;

		if (*at >= '0' && *at <= '9')
			digit = (unsigned int)(*at - '0');
		else if (*at >= 'a' && *at <= 'f')
			digit = (unsigned int)(*at - 'a') + 10;
		else
			break;
		if (digits == 8)
			return NULL;
		v = v << 4 | digit;
	}
	*out = v;
	return digits ? at : NULL;
}

/* A word that must be there. Returns what follows, or NULL; NULL stays NULL. */
static const char *word(const char *at, const char *text)
{
	size_t len = strlen(text);

	return at && !strncmp(at, text, len) ? at + len : NULL;
}

static const char *value(const char *at, const char *before, uint32_t *out)
{
	at = word(at, before);
	return at ? number(at, out) : NULL;
}

static const char *blanks(const char *at)
{
	return at ? at + strspn(at, " \t") : NULL;
}

/* "0x00000004 0x01: eax=0x... ebx=0x... ecx=0x... edx=0x...". */
static int read_entry(struct reader_state *s, const char *at)
{
	struct kvm_cpuid_entry2 c = { .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX };

	at = number(at, &c.function);
	at = value(blanks(at), "", &c.index);
	at = value(blanks(word(at, ":")), "eax=", &c.eax);
	at = value(blanks(at), "ebx=", &c.ebx);
	at = value(blanks(at), "ecx=", &c.ecx);
	at = value(blanks(at), "edx=", &c.edx);
	if (!at || *blanks(at))
		return bad(s, "expected 'LEAF SUBLEAF: eax=0x... ebx=0x... ecx=0x... edx=0x...', as 'cpuid "
			      "-r' prints");
	if (!s->open)
		return bad(s, "expected 'CPU 0:' before the first leaf");
	if (cpuid_get(s->table, c.function, c.index))
		return bad(s, "leaf 0x%x sub-leaf 0x%x of CPU %u comes twice", c.function, c.index,
			   s->number);
	if (s->table->nent == CPUID_MAX_ENTRIES)
		return bad(s, "CPU %u has more than %d leaves", s->number, CPUID_MAX_ENTRIES);
	s->table->entry[s->table->nent++] = c;
	return 0;
}

/* "CPU 0:", or "CPU:" for the only one. at: behind the word. */
static int read_heading(struct reader_state *s, const char *at)
{
	unsigned int nr = s->d->nr_cpus + s->open, last = s->number;
	size_t digits = strspn(blanks(at), "0123456789");
	int rc = close_cpu(s);

	if (rc < 0)
		return rc;
	at = blanks(at);
	if (digits > 5 || at[digits] != ':' || *blanks(at + digits + 1))
		return bad(s, "expected 'CPU', its number and a colon");
	s->number = 0;
	for (size_t i = 0; i < digits; i++)
		s->number = s->number * 10 + (unsigned int)(at[i] - '0');
	if (nr && (!digits || s->d->one_of_many))
		return bad(s, "'CPU:' without a number, as 'cpuid -1' prints, is for a dump of one CPU");
	if (nr && s->number <= last)
		return bad(s, "expected a CPU number above %u", last);
	s->d->one_of_many = !digits;
	s->open = true;
	return 0;
}

static int read_line(struct reader_state *s, char *line)
{
	const char *at;

	line[strcspn(line, "\r\n")] = '\0';
	at = blanks(line);
	if (!*at)
		return 0;
	return word(at, "CPU") ? read_heading(s, at + 3) : read_entry(s, at);
}

static int read_lines(struct reader_state *s, FILE *f)
{
	char line[MAX_LINE];
	int rc = 0;

	while (rc == 0 && (errno = 0, fgets(line, sizeof(line), f))) {
		s->line++;
		if (s->line > MAX_LINES)
			return bad(s, "a dump has at most %d lines", MAX_LINES);
		if (!strchr(line, '\n') && !feof(f))
			return bad(s, "a line has more than %d characters, or a zero byte", MAX_LINE - 2);
		rc = read_line(s, line);
	}
	if (rc == 0 && ferror(f))
		return err_sys(s->e, errno ? -errno : -EIO, "cannot read %s", s->path);
	if (rc == 0)
		rc = close_cpu(s);
	return rc == 0 && !s->d->nr_cpus ? bad(s, "there is no CPU in this file") : rc;
}

int dump_read(struct dump *d, const char *path, struct err *e)
{
	bool standard = !strcmp(path, "-");
	struct reader_state s = { .d = d, .path = standard ? "standard input" : path, .e = e };
	FILE *f;
	int rc;

	*d = (struct dump){ .first = calloc(1, sizeof(*d->first)) };
	s.table = calloc(1, sizeof(*s.table));
	if (!d->first || !s.table) {
		free(s.table);
		return err_set(e, -ENOMEM, "out of memory");
	}
	f = standard ? stdin : fopen(path, "re");
	rc = f ? read_lines(&s, f) : err_sys(e, -errno, "cannot open %s", path);
	if (f && !standard)
		fclose(f);
	free(s.table);
	return rc;
}

void dump_fini(struct dump *d)
{
	free(d->cpu);
	free(d->first);
	*d = (struct dump){ 0 };
}
