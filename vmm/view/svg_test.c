/* Unit tests of svg.c: that it is XML, that everything is inside the picture, and what is in it. */
#include <stdio.h>

#include "vmm/view/view_rig.h"

static struct processors p;
static char *text;

static void setup(void)
{
	p = (struct processors){ 0 };
}

static void teardown(void)
{
	free(text);
	text = NULL;
	rig_fini(&p.topo);
}

enum { MAX_DEPTH = 16, MAX_NAME = 16 };

/* The first thing that is not well formed, as far as elements, quotes and entities go; NULL when all is. */
static const char *first_flaw(const char *s)
{
	char open[MAX_DEPTH][MAX_NAME];
	unsigned int depth = 0;

	for (; *s; s++) {
		size_t len = strcspn(s + 1, " />");
		const char *end = strchr(s, '>');

		if (*s == '&' && strncmp(s, "&amp;", 5) && strncmp(s, "&lt;", 4) && strncmp(s, "&gt;", 4) &&
		    strncmp(s, "&quot;", 6))
			return s;
		if (((unsigned char)*s < 0x20 && *s != '\n') || (unsigned char)*s > 0x7e || *s == '>')
			return s;
		if (*s != '<')
			continue;
		if (!end || len >= MAX_NAME)
			return s;
		if (s[1] == '/') {
			len = (size_t)(end - s) - 2;
			if (!depth-- || strlen(open[depth]) != len || strncmp(open[depth], s + 2, len))
				return s;
		} else if (end[-1] != '/' && s[1] != '?') {
			if (depth == MAX_DEPTH)
				return s;
			snprintf(open[depth++], MAX_NAME, "%.*s", (int)len, s + 1);
		}
		s = end;
	}
	return depth ? s : NULL;
}

static const char *svg(void)
{
	const char *flaw;

	free(text);
	text = rig_print(view_svg, &p);
	flaw = first_flaw(text);
	ck_assert_msg(!flaw, "not well formed: %.200s", flaw ? flaw : "");
	return text;
}

static const struct {
	const char *text;
	bool want;
} documents[] = {
	{ "<a><b/></a>", true }, { "<a><b></a></b>", false }, { "<a>", false },          { "</a>", false },
	{ "<a>&</a>", false },   { "<a>&lt;</a>", true },     { "<a>x > y</a>", false }, { "<a", false },
};

START_TEST(checker_knows_well_formed_from_ill)
{
	ck_assert_int_eq(!first_flaw(documents[_i].text), documents[_i].want);
}
END_TEST

START_TEST(picture_holds_every_core_and_vcpu)
{
	rig_regular(&p.topo, 2, 2, 1, 3, 2);
	rig_caches(&p.topo);
	svg();
	ck_assert_uint_eq(rig_count(text, ">Core "), 12);
	ck_assert_uint_eq(rig_count(text, "<title>CPU "), 24);
	ck_assert_uint_eq(rig_count(text, ">L1d 48K<"), 12);
	ck_assert_uint_eq(rig_count(text, ">L3 32M<"), 4);
	ck_assert_ptr_nonnull(strstr(text, "<title>CPU 23 id 0x1d</title>"));
}
END_TEST

START_TEST(legend_names_what_is_there_and_nothing_else)
{
	rig_regular(&p.topo, 1, 2, 1, 2, 1);
	rig_caches(&p.topo);
	svg();
	ck_assert_ptr_nonnull(strstr(text, ">die</text>"));
	ck_assert_ptr_nonnull(strstr(text, ">L3 cache</text>"));
	ck_assert_ptr_null(strstr(text, ">NUMA node</text>"));
	ck_assert_ptr_null(strstr(text, ">efficiency core</text>"));
	ck_assert_ptr_null(strstr(text, ">to be plugged</text>"));
}
END_TEST

START_TEST(pluggable_vcpus_look_different)
{
	rig_regular(&p.topo, 1, 1, 1, 2, 2);
	rig_present(&p.topo, 3);
	svg();
	/* One cell, and the legend's. */
	ck_assert_uint_eq(rig_count(text, "class=\"pu absent\""), 1);
	ck_assert_ptr_nonnull(strstr(text, ">(3)</text>"));
	ck_assert_ptr_nonnull(strstr(text, ">to be plugged</text>"));
}
END_TEST

START_TEST(core_types_have_their_own_colours)
{
	rig_hybrid(&p.topo);
	rig_hybrid_caches(&p.topo);
	svg();
	ck_assert_uint_eq(rig_count(text, "rect class=\"pcore\""), 4 + 1);
	ck_assert_uint_eq(rig_count(text, "rect class=\"ecore\""), 4 + 1);
}
END_TEST

/* Every rectangle lies in the picture; the boxes are moved by a transform of their own. */
static unsigned int check_inside(void)
{
	unsigned int width = 0, height = 0, dx = 0, dy = 0, x, y, w, h, nr = 0;

	ck_assert_int_eq(sscanf(strstr(text, "<svg"),
				"<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" "
				"width=\"%u\" height=\"%u\"",
				&width, &height),
			 2);
	for (const char *s = text; *s; s++) {
		sscanf(s, "<g transform=\"translate(%u %u)\">", &dx, &dy);
		if (!strncmp(s, "</g>\n<text x=\"16\"", 17)) /* the sentence below */
			dx = dy = 0;
		if (sscanf(s, "<rect class=\"%*[a-z0-9 ]\" x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\"", &x,
			   &y, &w, &h) != 4)
			continue;
		ck_assert_uint_le(x + w + dx, width);
		ck_assert_uint_le(y + h + dy, height);
		nr++;
	}
	return nr;
}

START_TEST(everything_is_inside_the_picture)
{
	unsigned int cores = 1 + (unsigned int)_i % 5; /* narrow ones too, whose legend has several rows */

	rig_regular(&p.topo, (unsigned int)_i, 2, 1, cores, 2);
	rig_caches(&p.topo);
	rig_nodes(&p.topo, (unsigned int)_i + 1, 4 * cores, GIB);
	svg();
	ck_assert_uint_ge(check_inside(), 2 * cores * (unsigned int)_i * 4);
}
END_TEST

START_TEST(up_to_256_vcpus_are_all_drawn_and_more_are_folded)
{
	rig_regular(&p.topo, 2, 1, 1, 64, 2);
	ck_assert_uint_eq(rig_count(svg(), "<title>CPU "), 256);
	rig_fini(&p.topo);
	rig_regular(&p.topo, 2, 1, 1, 65, 2);
	ck_assert_uint_lt(rig_count(svg(), "<title>CPU "), 20);
	ck_assert_ptr_nonnull(strstr(text, "... 64 more"));
}
END_TEST

START_TEST(brand_is_escaped)
{
	static struct cpuid_table table;
	static const char brand[49] = "<A&B> \"C\" \x01\xff brand";

	for (unsigned int i = 0; i < 4; i++) {
		struct kvm_cpuid_entry2 *c = &table.entry[table.nent++];

		c->function = i ? 0x80000001 + i : 0x80000000;
		if (!i)
			c->eax = 0x80000004;
		else
			memcpy(&c->eax, brand + 16 * (i - 1), 16);
	}
	rig_regular(&p.topo, 1, 1, 1, 1, 1);
	p.table = &table;
	ck_assert_ptr_nonnull(strstr(svg(), "&lt;A&amp;B&gt; &quot;C&quot; ?? brand"));
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("svg");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, checker_knows_well_formed_from_ill, 0, ARRAY_SIZE(documents));
	tcase_add_test(c, picture_holds_every_core_and_vcpu);
	tcase_add_test(c, legend_names_what_is_there_and_nothing_else);
	tcase_add_test(c, pluggable_vcpus_look_different);
	tcase_add_test(c, core_types_have_their_own_colours);
	tcase_add_loop_test(c, everything_is_inside_the_picture, 1, 12);
	tcase_add_test(c, up_to_256_vcpus_are_all_drawn_and_more_are_folded);
	tcase_add_test(c, brand_is_escaped);
	return rig_run("svg", c);
}
