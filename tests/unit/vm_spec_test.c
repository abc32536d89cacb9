/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VM's specification: what is written, what comes back, what is refused and in which words. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "resources/vm_spec.h"

#define UUID "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

static const struct {
	const char *in, *out;
} good[] = {
	{ "memory = 256M\ndisk = /ClusterStorage/vol1/web.img\n",
	  "machine = pc-i440fx-7.2\ncpu = qemu64\naccel = tcg\ncpus = 1\nmemory = 256M\n"
	  "disk = /ClusterStorage/vol1/web.img,format=raw\nnic = vm\n" },
	{ "# a comment\n\n  cpus=4 \nmemory=2048k\n\tkernel = /boot/vmlinuz\r\n"
	  "append = root=/dev/vda # not a comment, quiet\ninitrd = /boot/initrd\nnic = none",
	  "machine = pc-i440fx-7.2\ncpu = qemu64\naccel = tcg\ncpus = 4\nmemory = 2M\nnic = none\n"
	  "kernel = /boot/vmlinuz\ninitrd = /boot/initrd\n"
	  "append = root=/dev/vda # not a comment, quiet\n" },
	{ "uuid = 6BA7B810-9dad-11d1-80b4-00c04fd430c8\nmemory = 1536K\naccel = kvm\n"
	  "machine = pc-q35-7.2\ncpu = qemu64,+aes,+ssse3\ndisk = /a.qcow2\n"
	  "disk = /b.qcow2,format=raw\ndisk = /c,format=qcow2\nnic = br0,mac=52:54:00:aa:bb:cc\n"
	  "nic = vm\nnode = node2\nstart = yes\n",
	  "uuid = " UUID "\nmachine = pc-q35-7.2\ncpu = qemu64,+aes,+ssse3\naccel = kvm\ncpus = 1\n"
	  "memory = 1536K\ndisk = /a.qcow2,format=qcow2\ndisk = /b.qcow2,format=raw\n"
	  "disk = /c,format=qcow2\nnic = br0,mac=52:54:00:aa:bb:cc\nnic = vm\n" },
};

static void test_golden(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct vm_spec spec = { 0 }, again = { 0 };
		struct cl_error err = CL_ERROR_INIT;
		char *once = NULL, *twice = NULL;

		assert_int_equal(vm_spec_read(&spec, good[i].in, "in", &err), 0);
		assert_int_equal(vm_spec_finish(&spec, &err), 0);
		assert_int_equal(vm_spec_print(&spec, &once), 0);
		assert_string_equal(once, good[i].out);
		assert_int_equal(vm_spec_parse(&again, once, &err), 0);
		assert_int_equal(vm_spec_print(&again, &twice), 0);
		assert_string_equal(once, twice);
		free(once);
		free(twice);
		vm_spec_fini(&spec);
		vm_spec_fini(&again);
	}
}

static const struct {
	const char *in, *error;
} refused[] = {
	{ "", "memory is missing" },
	{ "memory = 1G", "neither a disk nor a kernel: nothing to boot" },
	{ "memory = 1G\ndisk", "in:2: 'disk' is not `key = value`" },
	{ "memory = 1G\ndisk = a.img", "in:2: disk = 'a.img': an absolute path is wanted" },
	{ "memory = 1G\ndisk =", "in:2: disk: empty, too long, or with control characters" },
	{ "memory = 1G\ndisk = /a,driver=host_device",
	  "in:2: disk = '/a,driver=host_device': after the path only ,format=raw or "
	  ",format=qcow2" },
	{ "memory = 1G\ndisk = /a\ndisk = /a", "disk /a is given twice" },
	{ "memory = 512", "in:1: memory = '512': a size is wanted, with its unit: 512M, 4G" },
	{ "memory = 1GB", "in:1: memory = '1GB': a size is wanted, with its unit: 512M, 4G" },
	{ "memory = -1G", "in:1: memory = '-1G': a size is wanted, with its unit: 512M, 4G" },
	{ "memory = 18446744073709551615T",
	  "in:1: memory = '18446744073709551615T': must be 1M to 4T, in steps of 4K" },
	{ "memory = 99999999999999999999999T",
	  "in:1: memory = '99999999999999999999999T': a size is wanted, with its unit: 512M, 4G" },
	{ "memory = 5K", "in:1: memory = '5K': must be 1M to 4T, in steps of 4K" },
	{ "memory = 1G\nmemory = 2G", "in:2: memory is given twice" },
	{ "cpus = 0", "in:1: cpus = '0': a number from 1 to 64 is wanted" },
	{ "cpus = 65", "in:1: cpus = '65': a number from 1 to 64 is wanted" },
	{ "cpus = 2x", "in:1: cpus = '2x': a number from 1 to 64 is wanted" },
	{ "machine = pc", "in:1: machine = 'pc': a versioned type is wanted, like pc-i440fx-7.2" },
	{ "machine = pc-i440fx-7.2,accel=kvm", "in:1: machine = 'pc-i440fx-7.2,accel=kvm': a "
					       "versioned type is wanted, like pc-i440fx-7.2" },
	{ "cpu = host;rm", "in:1: cpu = 'host;rm': a name is wanted" },
	{ "nic = none\nnic = vm", "in:2: nic = none and another nic" },
	{ "nic = vm\nnic = none", "in:2: nic = none and another nic" },
	{ "nic = ../x", "in:1: nic = '../x': the name of a bridge is wanted" },
	{ "nic = vm,mac=01:00:5e:00:00:01",
	  "in:1: nic = 'vm,mac=01:00:5e:00:00:01': after the bridge only ,mac=52:54:00:xx:xx:xx" },
	{ "uuid = x", "in:1: uuid = 'x': a UUID is wanted" },
	{ "memory = 1G\ndisk = /a\ninitrd = /b", "initrd needs a kernel" },
	{ "start = maybe", "in:1: start = 'maybe': yes or no is wanted" },
	{ "colour = blue", "in:1: unknown key 'colour'" },
	{ "append = a\001b", "in:1: append: empty, too long, or with control characters" },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		struct vm_spec spec = { 0 };
		struct cl_error err = CL_ERROR_INIT;
		int r = vm_spec_read(&spec, refused[i].in, "in", &err);

		if (r == 0)
			r = vm_spec_finish(&spec, &err);
		assert_true(r < 0);
		assert_string_equal(err.msg, refused[i].error);
		vm_spec_fini(&spec);
	}
}

/* A text longer than any spec, and more devices than there is room for. */
static void test_bounds(void **state)
{
	struct vm_spec spec = { 0 };
	struct cl_error err = CL_ERROR_INIT;
	char *text = malloc(VM_SPEC_TEXT_MAX + 2), path[32];

	(void)state;
	memset(text, '#', VM_SPEC_TEXT_MAX + 1);
	text[VM_SPEC_TEXT_MAX + 1] = '\0';
	assert_int_equal(vm_spec_read(&spec, text, "in", &err), -EFBIG);
	memcpy(text, "append=", 7);
	text[6000] = '\0';
	assert_int_equal(vm_spec_read(&spec, text, "in", &err), -EINVAL);
	for (int i = 0; i < VM_SPEC_DISKS_MAX; i++) {
		snprintf(path, sizeof(path), "/disk%d", i);
		assert_int_equal(vm_spec_set(&spec, "disk", path, &err), 0);
	}
	assert_int_equal(vm_spec_set(&spec, "disk", "/one-more", &err), -EINVAL);
	for (int i = 0; i < VM_SPEC_NICS_MAX; i++)
		assert_int_equal(vm_spec_set(&spec, "nic", "vm", &err), 0);
	assert_int_equal(vm_spec_set(&spec, "nic", "vm", &err), -EINVAL);
	vm_spec_fini(&spec);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
