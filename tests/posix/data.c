/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening, sizes, unlinked files. */
#include "config.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/posix/posix.h"

static void try(const char *name, int flags)
{
	int fd = open(name, flags, 0640);

	say("open %s %s%s%s%s%s%s%s%s= %s", name,
	    (flags & O_ACCMODE) == O_RDONLY   ? "r "
	    : (flags & O_ACCMODE) == O_WRONLY ? "w "
					      : "rw ",
	    flags & O_CREAT ? "creat " : "", flags & O_EXCL ? "excl " : "",
	    flags & O_TRUNC ? "trunc " : "", flags & O_NOFOLLOW ? "nofollow " : "",
	    flags & O_PATH ? "path " : "", (flags & O_DIRECTORY) == O_DIRECTORY ? "dir " : "",
	    flags & O_APPEND ? "append " : "", fd < 0 ? strerrorname_np(errno) : "ok");
	if (fd >= 0)
		show_fd(name, fd);
	(void)close(fd);
}

static void every_flag(const char *name)
{
	static const int more[] = { 0,
				    O_CREAT,
				    O_CREAT | O_EXCL,
				    O_TRUNC,
				    O_CREAT | O_TRUNC,
				    O_NOFOLLOW,
				    O_NOFOLLOW | O_CREAT,
				    O_DIRECTORY,
				    O_DIRECTORY | O_CREAT,
				    O_PATH,
				    O_PATH | O_NOFOLLOW,
				    O_APPEND | O_CREAT };

	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		try(name, O_RDONLY | O_NONBLOCK | more[i]);
		try(name, O_WRONLY | O_NONBLOCK | more[i]);
		try(name, O_RDWR | O_NONBLOCK | more[i]);
	}
}

/* A program that is written to cannot run, one that runs cannot be written to. */
static void text_busy(void)
{
	char name[] = "x",
	     time[] = "30", *const argv[] = { name, time, NULL }, *const env[] = { NULL };
	int fd, p[2];
	pid_t pid;
	char c;

	if (system("cp /bin/sleep x"))
		return say("cannot copy a program");
	fd = open("x", O_WRONLY);
	T(execve("x", argv, env));
	(void)close(fd);
	NEED(pipe2(p, O_CLOEXEC));
	pid = fork();
	if (pid == 0) {
		(void)execve("x", argv, env);
		_exit(1);
	}
	(void)close(p[1]);
	(void)!read(p[0], &c, 1); /* ends when the program has begun */
	T(open("x", O_WRONLY));
	T(open("x", O_RDWR | O_TRUNC));
	T(truncate("x", 0));
	T(unlink("x"));
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	(void)close(p[0]);
}

static void temporary(void)
{
	char path[64];
	int fd = FD(open(".", O_TMPFILE | O_RDWR, 0640));

	if (fd < 0)
		return;
	show_fd("temporary", fd);
	T(write(fd, "abc", 3));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	T(linkat(AT_FDCWD, path, AT_FDCWD, "tmp", AT_SYMLINK_FOLLOW));
	show("tmp");
	(void)close(fd);
	fd = FD(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0640));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	T(linkat(AT_FDCWD, path, AT_FDCWD, "tmp2", AT_SYMLINK_FOLLOW));
	(void)close(fd);
	(void)close(FD(open(".", O_TMPFILE | O_RDONLY, 0640)));
}

void cases_open(void)
{
	put_dir("d", 0755, 0, 0);
	NEED(mkfifo("p", 0644));
	every_flag("new");
	every_flag("d");
	every_flag("p");
	NEED(symlink("new", "l"));
	every_flag("l");
	NEED(symlink("made-by-link", "dangling"));
	every_flag("dangling");
	NEED(mknod("s", S_IFSOCK | 0644, 0));
	every_flag("s");
	text_busy();
	temporary();
}

/* ---- unlinked ------------------------------------------------------------------------------ */

static void unlinked_file(void)
{
	char buf[16] = "";
	char path[64];
	int fd;

	put("f", "hello", 0644, 0, 0);
	fd = FD(open("f", O_RDWR));
	T(unlink("f"));
	show_fd("unlinked", fd);
	T(pread(fd, buf, 5, 0));
	say("  %.5s", buf);
	T(pwrite(fd, "world", 5, 5));
	T(ftruncate(fd, 7));
	T(fchmod(fd, 0600));
	T(fchown(fd, ALICE, STAFF));
	T(futimens(fd, NULL));
	T(fallocate(fd, 0, 0, 8192));
	T(fsync(fd));
	T(fdatasync(fd));
	show_fd("unlinked", fd);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	T(linkat(AT_FDCWD, path, AT_FDCWD, "back", AT_SYMLINK_FOLLOW));
	put("f", "other", 0644, 0, 0);
	T(pread(fd, buf, 5, 0));
	say("  %.5s", buf);
	(void)close(fd);
	show("f");
}

static void replaced_file(void)
{
	char buf[16] = "";
	int fd;

	put("a", "aaaaa", 0644, 0, 0);
	put("b", "bbbbb", 0644, 0, 0);
	fd = FD(open("b", O_RDWR));
	T(rename("a", "b"));
	show_fd("replaced", fd);
	T(pread(fd, buf, 5, 0));
	say("  %.5s", buf);
	(void)close(fd);
	NEED(link("b", "c"));
	fd = FD(open("b", O_RDWR));
	T(unlink("b"));
	show_fd("one name left", fd);
	T(unlink("c"));
	show_fd("no name left", fd);
	T(pread(fd, buf, 5, 0));
	say("  %.5s", buf);
	(void)close(fd);
}

static void unlinked_fifo(void)
{
	int fd;

	NEED(mkfifo("p", 0644));
	fd = FD(open("p", O_RDWR));
	T(unlink("p"));
	T(write(fd, "x", 1));
	(void)close(fd);
}

void cases_unlinked(void)
{
	unlinked_file();
	replaced_file();
	unlinked_fifo();
}

/* ---- sizes --------------------------------------------------------------------------------- */

#define LARGEST (0xffffffffLL * 4096)

static void largest(int fd)
{
	struct rlimit rl;

	T(ftruncate(fd, LARGEST));
	show_fd("f", fd);
	T(ftruncate(fd, LARGEST + 1));
	T(ftruncate(fd, 0x7fffffffffffffffLL));
	T(truncate("f", LARGEST + 4096));
	T(pwrite(fd, "x", 1, LARGEST));
	T(pwrite(fd, "x", 1, LARGEST - 1));
	T(pwrite(fd, "xyz", 3, LARGEST - 1));
	T(fallocate(fd, 0, LARGEST, 4096));
	T(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, LARGEST - 4096, 8192));
	T(posix_fallocate(fd, LARGEST, 1));
	T(lseek(fd, 0, SEEK_END));
	T(lseek(fd, 0, SEEK_DATA));
	T(lseek(fd, 0, SEEK_HOLE));
	T(ftruncate(fd, -1));
	T(truncate("f", -1));
	T(ftruncate(fd, 3000000000000LL));
	T(pwrite(fd, "far", 3, 2999999999000LL));
	NEED(getrlimit(RLIMIT_FSIZE, &rl));
	T(ftruncate(fd, 0));
	show_fd("f", fd);
}

static void holes(int fd)
{
	static char block[65536];

	memset(block, 'x', sizeof(block));
	T(pwrite(fd, block, sizeof(block), 0));
	T(pwrite(fd, block, sizeof(block), 1 << 20));
	T(lseek(fd, 0, SEEK_DATA));
	T(lseek(fd, 0, SEEK_HOLE));
	T(lseek(fd, 65536, SEEK_DATA));
	T(lseek(fd, 1 << 20, SEEK_HOLE));
	T(lseek(fd, (1 << 20) + 65536, SEEK_DATA));
	T(lseek(fd, (1 << 20) + 65536, SEEK_HOLE));
	T(lseek(fd, -1, SEEK_DATA));
	T(lseek(fd, -1, SEEK_HOLE));
	T(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536));
	T(lseek(fd, 0, SEEK_DATA));
	T(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 1 << 20, 32768));
	T(pread(fd, block, 1, 1 << 20));
	say("  %d", block[0]);
	T(pread(fd, block, 1, (1 << 20) + 32768));
	say("  %c", block[0]);
	T(fallocate(fd, FALLOC_FL_ZERO_RANGE, (1 << 20) + 40000, 100000));
	T(pread(fd, block, 1, (1 << 20) + 39999));
	say("  %c", block[0]);
	T(pread(fd, block, 1, (1 << 20) + 40000));
	say("  %d", block[0]);
	show_fd("f", fd);
	T(fallocate(fd, 0, 0, 0));
	T(fallocate(fd, 0, -1, 10));
	T(fallocate(fd, 0, 10, -1));
	T(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096));
	T(fallocate(fd, FALLOC_FL_KEEP_SIZE, 10 << 20, 4096));
	show_fd("f", fd);
	T(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100 << 20, 4096));
	T(fallocate(open("f", O_RDONLY), 0, 0, 4096));
	T(posix_fallocate(fd, 0, 4 << 20));
	show_fd("f", fd);
}

/* What was cut off is zeros when it comes back. */
static void cut_and_grow(int fd)
{
	char c = 1;

	T(ftruncate(fd, 0));
	T(pwrite(fd, "0123456789", 10, 0));
	T(ftruncate(fd, 4));
	T(ftruncate(fd, 10));
	T(pread(fd, &c, 1, 7));
	say("  %d", c);
	T(ftruncate(fd, 4));
	T(pwrite(fd, "z", 1, 9000));
	T(pread(fd, &c, 1, 7));
	say("  %d", c);
	show_fd("f", fd);
	T(pread(fd, &c, 1, 9001));
	T(pread(fd, &c, 1, 9000000));
	T(pread(fd, &c, 1, -1));
	T(pwrite(fd, &c, 1, -1));
}

static void appended(void)
{
	char buf[16] = "";
	int a = open("app", O_WRONLY | O_CREAT | O_APPEND, 0644),
	    b = open("app", O_RDWR | O_APPEND);

	T(write(a, "one", 3));
	T(write(b, "two", 3));
	T(pwrite(a, "end", 3, 0));
	T(lseek(a, 0, SEEK_CUR));
	T(pread(b, buf, 9, 0));
	say("  %s", buf);
	(void)close(a);
	(void)close(b);
}

static void mapped(void)
{
	char *p;
	int fd;

	put("map", "mapped text", 0644, 0, 0);
	fd = open("map", O_RDONLY);
	p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	say("private: %s", p == MAP_FAILED ? strerrorname_np(errno) : p);
	T(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	(void)close(fd);
	fd = open("map", O_RDWR);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (p != MAP_FAILED)
		p[0] = 'M';
	say("private, written: %s", p == MAP_FAILED ? strerrorname_np(errno) : p);
	T(pread(fd, (char[2]){ 0 }, 1, 0));
	(void)close(fd);
}

static void on_other_types(void)
{
	put_dir("d", 0755, 0, 0);
	NEED(mkfifo("p", 0644));
	T(truncate("d", 0));
	T(truncate("p", 0));
	T(truncate("missing", 0));
	T(ftruncate(open("f", O_RDONLY), 0));
	T(fallocate(open("d", O_RDONLY), 0, 0, 1));
	T(fallocate(open("p", O_RDWR), 0, 0, 1));
	T(fsync(open("d", O_RDONLY)));
	T(fdatasync(open("d", O_RDONLY)));
	T(lseek(open("p", O_RDWR), 0, SEEK_SET));
}

void cases_size(void)
{
	int fd = FD(open("f", O_RDWR | O_CREAT, 0644));

	holes(fd);
	cut_and_grow(fd);
	largest(fd);
	appended();
	mapped();
	on_other_types();
	(void)close(fd);
}
