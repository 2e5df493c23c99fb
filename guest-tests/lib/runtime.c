/* What happens between start.S and test_main(). ACPI is needed from here on; interrupts stay off. */
#include "lib/console.h"
#include "lib/ioapic.h"
#include "lib/lapic.h"
#include "lib/multiboot.h"
#include "lib/runtime.h"
#include "lib/tap.h"
#include "lib/trap.h"

void runtime_main(void)
{
	console_init();
	trap_init();
	multiboot_save();
	pic_mask_all();
	lapic_init();
	test_main();
	tap_finish();
}
