/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM's config: bounds, JSON there and back, QEMU's command line; and finding one's cgroup. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "migration/argv.h"
#include "migration/cgroup.h"

#define UUID "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

static struct vm_config sample(void)
{
	return (struct vm_config){ .name = (char *)"web",
				   .uuid = UUID,
				   .generation = 7,
				   .machine = (char *)"pc-i440fx-7.2",
				   .cpus = 2,
				   .memory_bytes = 256 << 20,
				   .disks = { { (char *)"/a.img", VM_DISK_RAW },
					      { (char *)"/b.qcow2", VM_DISK_QCOW2 } },
				   .n_disks = 2,
				   .nics = { { NULL, "" } },
				   .n_nics = 1,
				   .kernel = (char *)"/k",
				   .append = (char *)"a b,c" };
}

static void test_json_there_and_back(void **state)
{
	struct vm_config c = sample(), again = { 0 };
	struct cl_error err = CL_ERROR_INIT;
	char *once, *twice;

	(void)state;
	assert_int_equal(vm_config_print(&c, &once), 0);
	assert_int_equal(vm_config_parse(once, &again, &err), 0);
	assert_int_equal(vm_config_print(&again, &twice), 0);
	assert_string_equal(once, twice);
	assert_null(again.initrd);
	assert_int_equal(again.disks[1].format, VM_DISK_QCOW2);
	vm_config_fini(&again);
	/* Cut anywhere, or with any byte changed, it is refused or read: never more. */
	for (size_t n = strlen(twice); n-- > 0;) {
		char keep = twice[n];

		twice[n] = (char)(keep ^ 21);
		if (vm_config_parse(twice, &again, &err) == 0)
			vm_config_fini(&again);
		twice[n] = '\0';
		if (n + 2 < strlen(once))
			assert_true(vm_config_parse(twice, &again, &err) < 0);
		twice[n] = keep;
		if (n % 7 == 0)
			twice[n] = '\0';
	}
	free(once);
	free(twice);
}

static void refused(struct vm_config c)
{
	struct cl_error err = CL_ERROR_INIT;

	assert_true(vm_config_check(&c, &err) < 0);
	assert_true(err.msg[0] != '\0');
}

static void test_bounds(void **state)
{
	struct vm_config c = sample();

	(void)state;
	assert_int_equal(vm_config_check(&c, NULL), 0);
	c.name = (char *)"../x", refused(c);
	c.name = (char *)"", refused(c);
	c.name = NULL, refused(c);
	c = sample(), c.generation = 0, refused(c);
	c = sample(), c.uuid[3] = 'X', refused(c);
	c = sample(), c.machine = (char *)"pc,accel=kvm", refused(c);
	c = sample(), c.cpu = (char *)"a b", refused(c);
	c = sample(), c.cpus = 0, refused(c);
	c = sample(), c.memory_bytes = 4095, refused(c);
	c = sample(), c.disks[0].path = (char *)"a", refused(c);
	c = sample(), c.nics[0].bridge = (char *)"br0,x=y", refused(c);
	c = sample(), strcpy(c.nics[0].mac, "52:54:00:00:00:0"), refused(c);
	c = sample(), c.kernel = NULL, refused(c);
	c = sample(), c.append = (char *)"", refused(c);
}

static void test_ram_rule(void **state)
{
	struct vm_config c = sample();

	(void)state;
	assert_int_equal(vm_config_ram_bytes(&c), (256 << 20) + 8192);
	assert_int_not_equal(vm_config_ram_bytes(&c) % (256 << 10), 0);
	c.memory_bytes += 4096; /* no multiple: as it was asked for */
	assert_int_equal(vm_config_ram_bytes(&c), c.memory_bytes);
	c = sample();
	c.kvm = true; /* KVM keeps its own dirty log */
	assert_int_equal(vm_config_ram_bytes(&c), c.memory_bytes);
}

static void test_command_line(void **state)
{
	static const char *const want[] = {
		"/q",
		"-name",
		"guest=web,debug-threads=on",
		"-uuid",
		UUID,
		"-machine",
		"pc-i440fx-7.2,accel=tcg,usb=off,dump-guest-core=off",
		"-cpu",
		"qemu64,enforce",
		"-smp",
		"2",
		"-m",
		"262152K",
		"-nodefaults",
		"-no-user-config",
		"-display",
		"none",
		"-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-action",
		"panic=pause,watchdog=reset,shutdown=poweroff",
		"-chardev",
		"socket,id=qmp,fd=5,server=on,wait=off",
		"-mon",
		"chardev=qmp,mode=control",
		"-chardev",
		"ringbuf,id=console,size=65536",
		"-serial",
		"chardev:console",
		"-S",
		"-incoming",
		"defer",
		"-add-fd",
		"fd=6,set=0",
		"-blockdev",
		"driver=file,node-name=file0,filename=/dev/fdset/0,aio=threads,locking=on,"
		"cache.direct=on,cache.no-flush=off,auto-read-only=off",
		"-blockdev",
		"driver=raw,node-name=disk0,file=file0,cache.direct=on",
		"-device",
		"virtio-blk-pci,id=vd0,drive=disk0,write-cache=on,werror=stop,rerror=stop",
		"-add-fd",
		"fd=7,set=1",
		"-blockdev",
		"driver=file,node-name=file1,filename=/dev/fdset/1,aio=threads,locking=on,"
		"cache.direct=on,cache.no-flush=off,auto-read-only=off",
		"-blockdev",
		"driver=preallocate,node-name=grow1,file=file1,cache.direct=on",
		"-blockdev",
		"driver=qcow2,node-name=disk1,file=grow1,cache.direct=on",
		"-device",
		"virtio-blk-pci,id=vd1,drive=disk1,write-cache=on,werror=stop,rerror=stop",
		"-netdev",
		"tap,id=net0,fd=8,vhost=off",
		"-device",
		"virtio-net-pci,id=nic0,netdev=net0,mac=52:54:a1:00:ca:90,romfile=",
		"-kernel",
		"/k",
		"-append",
		"a b,c",
		NULL,
	};
	struct vm_config c = sample();
	struct vm_argv_in in = { .config = &c,
				 .qemu = "/q",
				 .incoming = true,
				 .qmp_fd = 5,
				 .disk_fds = { 6, 7 },
				 .tap_fds = { 8 } };
	struct argv_vec argv = { 0 };

	(void)state;
	assert_int_equal(vm_argv(&in, &argv), 0);
	for (size_t i = 0; want[i]; i++) {
		assert_non_null(argv.v[i]);
		assert_string_equal(argv.v[i], want[i]);
	}
	assert_int_equal(argv.n, sizeof(want) / sizeof(*want));
	vm_argv_fini(&argv);
}

static void cgroup_is(const char *mounts, const char *self, const char *want)
{
	char *path = NULL;
	int r = cgroup_find(mounts, self, &path);

	assert_int_equal(r, want ? 0 : -ENOENT);
	if (want)
		assert_string_equal(path, want);
	free(path);
}

static void test_cgroup(void **state)
{
	static const char v2[] = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
	static const char hybrid[] =
		"24 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
		"25 24 0:23 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n"
		"26 24 0:24 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n";
	static const char part[] = "30 25 0:26 /lab/node1 /cg rw - cgroup2 cgroup2 rw\n";

	(void)state;
	cgroup_is(v2, "0::/system.slice/clusterd.service\n",
		  "/sys/fs/cgroup/system.slice/clusterd.service");
	cgroup_is(v2, "0::/\n", "/sys/fs/cgroup");
	cgroup_is(hybrid, "3:cpu:/x\n0::/a\n", "/sys/fs/cgroup/unified/a");
	cgroup_is(part, "0::/lab/node1/init\n", "/cg/init");
	cgroup_is(part, "0::/lab/node1\n", "/cg");
	cgroup_is(part, "0::/lab/node10\n", NULL);
	cgroup_is(v2, "0::/../x\n", NULL);
	cgroup_is(v2, "1:cpu:/x\n", NULL);
	cgroup_is("30 25 - cgroup2\n", "0::/\n", NULL);
	cgroup_is("", "", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_there_and_back),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_ram_rule),
		cmocka_unit_test(test_command_line),
		cmocka_unit_test(test_cgroup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
