/* The exit port passes its value on: exits with value=N of the command line (QEMU docs: isa-debug-exit). */
#include "lib/multiboot.h"
#include "lib/tap.h"

void test_main(void)
{
	uint8_t value = (uint8_t)args_number("value", 0);

	tap_plan(1);
	tap_check(true, "leaving with %u", value);
	tap_exit(value);
}
