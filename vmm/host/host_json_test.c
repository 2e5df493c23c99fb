/* Unit tests of host_json.c: the object of a host made by hand, and that it is JSON whatever is known. */
#include "vmm/host/report_rig.h"

#include "vmm/base/json_rig.h"

static char *text;

static void teardown(void)
{
	free(text);
	text = NULL;
}

static void must_have(const char *part)
{
	text = report_print(host_print_json);
	ck_assert_msg(json_is_whole(text), "no JSON:\n%.3000s", text);
	ck_assert_msg(strstr(text, part), "not there:\n%s\nin:\n%.3000s", part, text);
	teardown();
}

START_TEST(good_host_is_told)
{
	report_good();
	must_have(
		"{\n  \"kernel\": {\"release\": \"6.1.0\", \"machine\": \"x86_64\"},\n  \"problems\": 0,\n");
	must_have("\"kvm\": {\"usable\": true, \"reason\": null, \"api_version\": 12, \"module\": "
		  "\"kvm_intel\", \"vendor\": "
		  "\"intel\", \"nested\": true, \"max_vcpus\": 1024, \"max_vcpu_id\": 4096,");
	must_have("{\"name\": \"KVM_CAP_USER_MEMORY\", \"number\": 3, \"required\": true, \"present\": true, "
		  "\"value\": 1, "
		  "\"without\": \"guest memory cannot be given to the guest\"}");
	must_have("\"ring0\": {\"interpreted\": false, \"instructions_per_second\": 6200000000, \"reason\": "
		  "null}");
	must_have("\"brand\": \"Some \\\"Xeon\\\"\", \"family\": 6, \"model\": 143, \"stepping\": 8, "
		  "\"physical_bits\": 46");
	must_have("\"nearest_model\": \"SapphireRapids\", \"differs\": \"+a,-b\"");
	must_have("\"features\": [\"fpu\", \"vme\", \"sse2\"],");
}
END_TEST

START_TEST(memory_is_told_by_node_and_size)
{
	report_good();
	must_have("\"ksm\": {\"run\": 1, \"pages_shared\": 2, \"pages_sharing\": 5}");
	must_have("    \"pools\": [{\"page_bytes\": 2097152, \"total\": 64, \"free\": 60, \"reserved\": 10, "
		  "\"surplus\": 1, "
		  "\"overcommit\": 2}],\n");
	must_have(
		"      {\"node\": 0, \"total_bytes\": 68719476736, \"free_bytes\": 33822867456, \"cpus\": "
		"\"0-7\", \"pools\": "
		"[{\"page_bytes\": 2097152, \"total\": 64, \"free\": 60, \"reserved\": null, \"surplus\": 0, "
		"\"overcommit\": null}]}");
	must_have("{\"node\": 2, \"total_bytes\": null, \"free_bytes\": null, \"cpus\": \"8-15\", \"pools\": "
		  "[]}");
}
END_TEST

START_TEST(facilities_limits_and_devices_are_told)
{
	report_good();
	report.facility[0] = (struct host_facility){ .key = "tap",
						     .name = "/dev/net/tun",
						     .here = HOST_NO,
						     .detail.text = "gone",
						     .without = "taps",
						     .mend = "modprobe tun" };
	must_have("{\"key\": \"tap\", \"name\": \"/dev/net/tun\", \"available\": false, \"optional\": false, "
		  "\"detail\": \"gone\", "
		  "\"without\": \"taps\", \"mend\": \"modprobe tun\"}");
	must_have("\"problems\": 1,");
	must_have("\"limits\": {\"nofile\": {\"soft\": 1024, \"hard\": 524288}, \"memlock_bytes\": "
		  "{\"soft\": 8388608, \"hard\": "
		  "null}}");
	must_have("\"iommu\": {\"groups\": 4, \"reason\": null, \"mend\": null, \"devices\": [\n    "
		  "{\"group\": 3, \"address\": "
		  "\"0000:01:00.0\", \"vendor\": \"8086\", \"device\": \"1572\", \"class\": \"020000\", "
		  "\"driver\": \"i40e\"}");
}
END_TEST

START_TEST(nothing_known_is_json_of_nulls)
{
	report = (struct host_report){ .kvm.usable = HOST_NO };
	memset(report.kvm.capability, 0xff, sizeof(report.kvm.capability));
	must_have("\"present\": null, \"value\": null");
	must_have("\"api_version\": null, \"module\": null, \"vendor\": null, \"nested\": null, "
		  "\"max_vcpus\": null");
	must_have("\"interpreted\": null, \"instructions_per_second\": null");
	must_have("\"features\": null");
	must_have("\"nofile\": null, \"memlock_bytes\": null");
	must_have("\"total_bytes\": null");
}
END_TEST

START_TEST(host_without_features_has_an_empty_list)
{
	report_good();
	report.cpu.features[0] = '\0';
	must_have("\"features\": [],");
}
END_TEST

START_TEST(check_says_whether_it_starts_and_why_not)
{
	struct notes n = { 0 };

	text = report_print_check(host_check_json, &n);
	ck_assert_str_eq(text, "{\"starts\": true, \"problems\": []}\n");
	teardown();
	notes_add(&n, "a \"b\"");
	notes_add(&n, "c");
	text = report_print_check(host_check_json, &n);
	ck_assert_str_eq(text, "{\"starts\": false, \"problems\": [\n  \"a \\\"b\\\"\",\n  \"c\"]}\n");
	ck_assert(json_is_whole(text));
	notes_fini(&n);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("object");

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, good_host_is_told);
	tcase_add_test(c, memory_is_told_by_node_and_size);
	tcase_add_test(c, facilities_limits_and_devices_are_told);
	tcase_add_test(c, nothing_known_is_json_of_nulls);
	tcase_add_test(c, host_without_features_has_an_empty_list);
	tcase_add_test(c, check_says_whether_it_starts_and_why_not);
	return report_run("host_json", c);
}
