/* The option table as text: for a terminal, and as source of the man page. */
#include <stdio.h>

#include "vmm/base/opt.h"

enum { TEXT_COLUMN = 8, KEY_COLUMN = 25, LINE_END = 80 };

/* column: how far the line has come. */
static void print_wrapped(const char *text, int column, int indent)
{
	printf("%*s", MAX(indent - column, 0), "");
	column = indent;
	while (*text) {
		int word = (int)strcspn(text, " ");

		if (column > indent && column + 1 + word > LINE_END) {
			printf("\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			putchar(' ');
			column++;
		}
		printf("%.*s", word, text);
		column += word;
		text += word;
		while (*text == ' ')
			text++;
	}
	putchar('\n');
}

void opt_print_help(const struct opt *opts)
{
	for (const struct opt *o = opts; o->name; o++) {
		if (o->group) {
			opt_print_help(o->group);
			continue;
		}
		printf("  --%s", o->name);
		if (o->optional)
			printf(" [%s]", o->arg);
		else if (o->arg)
			printf(" %s", o->arg);
		if (o->alias)
			printf("   (also -%s)", o->alias);
		putchar('\n');
		print_wrapped(o->help, 0, TEXT_COLUMN);
		for (const struct opt_key *k = o->keys; k && k->name; k++) {
			int column;

			if (k->positional)
				continue;
			column = printf("%*s%s=%s", TEXT_COLUMN, "", k->name, k->value);
			if (column >= KEY_COLUMN) {
				putchar('\n');
				column = 0;
			}
			print_wrapped(k->help, column, KEY_COLUMN);
		}
	}
}

/* mdoc takes a leading dot, a backslash and a quote specially. */
static void print_escaped(const char *text)
{
	if (*text == '.' || *text == '\'')
		printf("\\&");
	for (; *text; text++) {
		if (*text == '\\')
			printf("\\e");
		else if (*text == '-')
			printf("\\-");
		else
			putchar(*text);
	}
}

void opt_print_mdoc(const struct opt *opts)
{
	for (const struct opt *o = opts; o->name; o++) {
		if (o->group)
			continue; /* the page lists it once, for all commands */
		printf(".It Fl \\-%s", o->name);
		if (o->arg) {
			printf(o->optional ? " Op Ar " : " Ar ");
			print_escaped(o->arg);
		}
		if (o->alias)
			printf(" , Fl %s", o->alias);
		putchar('\n');
		print_escaped(o->help);
		putchar('\n');
		for (const struct opt_key *k = o->keys; k && k->name; k++) {
			if (k->positional)
				continue;
			printf(".br\n.Cm %s Ns = Ns Ar ", k->name);
			print_escaped(k->value);
			printf(" :\n");
			print_escaped(k->help);
			putchar('\n');
		}
	}
}
