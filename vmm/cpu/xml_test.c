/* Unit tests of xml.c. */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/cpu/xml.h"

static char log_text[4096];
static struct err e;

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...)
{
	size_t len = strlen(log_text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(log_text + len, sizeof(log_text) - len, fmt, ap);
	va_end(ap);
}

/* Parse all of it and note the events: "<a k=[v]>", "text", "</a>". The text is a heap block, so that asan sees. */
static int parse_bytes(const char *bytes, size_t len)
{
	char *text = malloc(len + 1);
	struct xml x;
	int rc;

	ck_assert_ptr_nonnull(text);
	memcpy(text, bytes, len);
	text[len] = '\0';
	log_text[0] = '\0';
	xml_init(&x, "f", text, len);
	while ((rc = xml_next(&x, &e)) > 0) {
		if (rc == XML_TEXT)
			note("%s", x.text);
		else
			note(rc == XML_END ? "</%s" : "<%s", x.name);
		for (unsigned int i = 0; rc == XML_START && i < x.nr_attrs; i++)
			note(" %s=[%s]", x.attr[i].name, x.attr[i].value);
		if (rc != XML_TEXT)
			note(">");
	}
	free(text);
	return rc;
}

static const struct {
	const char *text, *want;
} good[] = {
	{ "<a/>", "<a></a>" },
	{ "<a></a>", "<a></a>" },
	{ "<a ></a >", "<a></a>" },
	{ "\xef\xbb\xbf<?xml version='1.0'?>\n<!DOCTYPE a SYSTEM \"a>.dtd\">\n<!-- c - c -->\n<a/>\n<!-- d "
	  "--><?e?>\n",
	  "<a></a>" },
	{ "<a b=\"1\" c='2'/>", "<a b=[1] c=[2]></a>" },
	{ "<a\n\tb = \"1\"\n/>", "<a b=[1]></a>" },
	{ "<a b='\"' c=\"'>\"/>", "<a b=[\"] c=['>]></a>" },
	{ "<a b=''/>", "<a b=[]></a>" },
	{ "<a b='&lt;&gt;&amp;&quot;&apos;'>&lt;x&gt;</a>", "<a b=[<>&\"']><x></a>" },
	{ "<a>&#65;&#x42;&#xe9;&#x20ac;&#x10FFFF;</a>", "<a>AB\xc3\xa9\xe2\x82\xac\xf4\x8f\xbf\xbf</a>" },
	{ "<a>1<b>2</b>3<!-- -->4<c d='5'/>6</a>", "<a>1<b>2</b>34<c d=[5]></c>6</a>" },
	{ "<a:b.c-d_0/>", "<a:b.c-d_0></a:b.c-d_0>" },
	{ "<a>]]</a>", "<a>]]</a>" },
	{ "<a>\xc3\xa9</a>", "<a>\xc3\xa9</a>" },
};

START_TEST(well_formed_text_is_told_in_its_order)
{
	int rc = parse_bytes(good[_i].text, strlen(good[_i].text));

	ck_assert_msg(rc == XML_END_OF_FILE, "%s", e.text);
	ck_assert_str_eq(log_text, good[_i].want);
}
END_TEST

static const struct {
	const char *text, *want;
} bad[] = {
	{ "", "f:1: there is no element; expected XML" },
	{ "\n\n ", "f:3: there is no element" },
	{ "<!-- -->", "there is no element" },
	{ "a", "there is text outside of the first element" },
	{ "<a/>b", "there is text outside of the first element" },
	{ "<a/><b/>", "there is a second element beside the first one" },
	{ "<a>", "the file ends inside of element a" },
	{ "<a>x", "the file ends inside of element a" },
	{ "<a>\n<b>\n</a>", "f:3: </a> ends nothing; expected </b>" },
	{ "</a>", "</a> ends nothing; expected </nothing>" },
	{ "<a></b>", "</b> ends nothing; expected </a>" },
	{ "<a></a b>", "expected a '>' behind </a" },
	{ "<", "expected the name of an element or an attribute" },
	{ "<a><", "expected the name" },
	{ "< a/>", "expected the name" },
	{ "<1/>", "expected the name" },
	{ "<a", "the tag of element a has no end" },
	{ "<a/", "the tag of element a has no end" },
	{ "<a b", "attribute b has no value" },
	{ "<a b>", "attribute b has no value" },
	{ "<a b=", "the value of attribute b is not in quotes" },
	{ "<a b=1>", "the value of attribute b is not in quotes" },
	{ "<a b='", "the file ends in the value of an attribute" },
	{ "<a b='1'", "the tag of element a has no end" },
	{ "<a b='1'c='2'/>", "the tag of element a has no end" },
	{ "<a b='1' b='2'/>", "attribute b is there twice" },
	{ "<a b='<'/>", "there is a '<' in the value of an attribute; expected &lt;" },
	{ "<a b='&lt'/>", "'&' begins no entity that is known" },
	{ "<a>&nbsp;</a>", "'&' begins no entity that is known" },
	{ "<a>&", "'&' begins no entity" },
	{ "<a>&#", "'&' begins no entity" },
	{ "<a>&#;</a>", "'&' begins no entity" },
	{ "<a>&#x;</a>", "'&' begins no entity" },
	{ "<a>&#65</a>", "'&' begins no entity" },
	{ "<a>&#0;</a>", "'&' begins no entity" },
	{ "<a>&#27;</a>", "'&' begins no entity" },
	{ "<a>&#xd800;</a>", "'&' begins no entity" },
	{ "<a>&#x110000;</a>", "'&' begins no entity" },
	{ "<a>&#4294967361;</a>", "'&' begins no entity" },
	{ "<a>\x1b[2J</a>", "there is a byte 0x1b in text" },
	{ "<a b='\x01'/>", "there is a byte 0x01 in the value of an attribute" },
	{ "<!-- \x01 --><a/>", "there is a byte 0x01 in a comment" },
	{ "<!-- a -- b --><a/>", "there is a '--' in a comment" },
	{ "<!-- a", "the file ends in a comment" },
	{ "<!--->", "the file ends in a comment" },
	{ "<?xml", "the file ends in a processing instruction" },
	{ "<!DOCTYPE a", "the DOCTYPE has no end" },
	{ "<!DOCTYPE a [<!ENTITY b 'bbbb'>]><a>&b;</a>",
	  "the DOCTYPE has declarations of its own, which are not accepted" },
	{ "<a/><!DOCTYPE a>", "there is a DOCTYPE behind the first element" },
	{ "<a><![CDATA[x]]></a>", "'<!' begins neither a comment nor a DOCTYPE" },
	{ "<!ELEMENT a ANY>", "'<!' begins neither" },
};

START_TEST(malformed_text_is_refused_with_a_sentence)
{
	ck_assert_int_lt(parse_bytes(bad[_i].text, strlen(bad[_i].text)), 0);
	ck_assert_msg(strstr(e.text, bad[_i].want), "'%s' does not have '%s'", e.text, bad[_i].want);
	ck_assert(e.usage);
}
END_TEST

START_TEST(zero_byte_is_refused)
{
	ck_assert_int_lt(parse_bytes("<a>x\0y</a>", 10), 0);
	ck_assert_int_lt(parse_bytes("<a\0></a>", 8), 0);
	ck_assert_int_lt(parse_bytes("<a/>\0", 5), 0);
}
END_TEST

static int parse_nested(unsigned int depth)
{
	static char text[8 * XML_MAX_DEPTH];

	text[0] = '\0';
	for (unsigned int i = 0; i < depth; i++)
		strcat(text, "<a>");
	for (unsigned int i = 0; i < depth; i++)
		strcat(text, "</a>");
	return parse_bytes(text, strlen(text));
}

START_TEST(elements_nest_up_to_the_limit)
{
	ck_assert_int_eq(parse_nested(XML_MAX_DEPTH), XML_END_OF_FILE);
	ck_assert_int_lt(parse_nested(XML_MAX_DEPTH + 1), 0);
	ck_assert_str_eq(e.text, "f:1: elements are nested more than 128 deep");
}
END_TEST

static int parse_attrs(unsigned int nr)
{
	char text[1024] = "<a";

	for (unsigned int i = 0; i < nr; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " b%u='%u'", i, i);
	strcat(text, "/>");
	return parse_bytes(text, strlen(text));
}

START_TEST(attributes_are_limited)
{
	ck_assert_int_eq(parse_attrs(XML_MAX_ATTRS), XML_END_OF_FILE);
	ck_assert_int_lt(parse_attrs(XML_MAX_ATTRS + 1), 0);
	ck_assert_str_eq(e.text, "f:1: an element has more than 48 attributes");
}
END_TEST

/* Whatever is cut off or overwritten: an error or not, but nothing worse, which the sanitizers would tell. */
START_TEST(damaged_text_does_no_harm)
{
	static const char whole[] = "<?xml version='1.0'?><!DOCTYPE a SYSTEM \"b\"><!-- c --><a "
				    "b='&lt;&#x20ac;' c=\"d\">e&amp;<f/></a>";
	static const char bytes[] = "<>&'\"/!-?[]=;# \n\x01x0";
	char text[sizeof(whole)];

	for (size_t len = 0; len < sizeof(whole) - 1; len++)
		ck_assert_int_lt(parse_bytes(whole, len), 0);
	for (size_t at = 0; at < sizeof(whole) - 1; at++)
		for (size_t b = 0; b < sizeof(bytes); b++) {
			memcpy(text, whole, sizeof(whole));
			text[at] = bytes[b];
			ck_assert_int_le(parse_bytes(text, sizeof(whole) - 1), 0);
		}
}
END_TEST

START_TEST(attribute_is_found_by_its_name)
{
	char text[] = "<a bc='1' b='2'/>";
	struct xml x;

	xml_init(&x, "f", text, strlen(text));
	ck_assert_int_eq(xml_next(&x, &e), XML_START);
	ck_assert_str_eq(xml_attr(&x, "b"), "2");
	ck_assert_str_eq(xml_attr(&x, "bc"), "1");
	ck_assert_ptr_null(xml_attr(&x, "c"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("xml");
	TCase *c = tcase_create("xml");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(c, well_formed_text_is_told_in_its_order, 0, ARRAY_SIZE(good));
	tcase_add_loop_test(c, malformed_text_is_refused_with_a_sentence, 0, ARRAY_SIZE(bad));
	tcase_add_test(c, zero_byte_is_refused);
	tcase_add_test(c, elements_nest_up_to_the_limit);
	tcase_add_test(c, attributes_are_limited);
	tcase_add_test(c, damaged_text_does_no_harm);
	tcase_add_test(c, attribute_is_found_by_its_name);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
