dnl SPDX-License-Identifier: GPL-2.0-or-later
dnl CL_EXT2FS_STATIC
dnl
dnl The volume's undo, revoke and dirty tracking hang on the linker's --wrap of four functions of
dnl libext2fs. pkg-config gives the shared library, with which the hooks link and silently never run;
dnl so the static archives are named here, and a program that must see its own hook called decides.
AC_DEFUN([CL_EXT2FS_STATIC], [
  PKG_CHECK_MODULES([EXT2FS], [ext2fs >= 1.47.0])
  EXT2FS_LIBS="-l:libext2fs.a -l:libcom_err.a -lpthread"
  EXT2FS_WRAP="-Wl,--wrap=ext2fs_block_alloc_stats2,--wrap=ext2fs_block_alloc_stats_range,--wrap=ext2fs_inode_alloc_stats2"
  AC_CACHE_CHECK([whether --wrap reaches the calls inside libext2fs.a], [cl_cv_ext2fs_wrap], [
    cl_save_LIBS=$LIBS; cl_save_LDFLAGS=$LDFLAGS; cl_save_CFLAGS=$CFLAGS
    LIBS="$EXT2FS_LIBS $LIBS"; LDFLAGS="$LDFLAGS $EXT2FS_WRAP"; CFLAGS="$CFLAGS $EXT2FS_CFLAGS"
    : > cl-conftest
    AC_RUN_IFELSE([AC_LANG_SOURCE([[
#include <string.h>
#include <unistd.h>
#include <ext2fs/ext2fs.h>
static int seen;
void __wrap_ext2fs_block_alloc_stats2(ext2_filsys fs, blk64_t b, int inuse);
void __wrap_ext2fs_block_alloc_stats2(ext2_filsys fs, blk64_t b, int inuse) { (void)fs; (void)b; (void)inuse; seen = 1; }
void __wrap_ext2fs_block_alloc_stats_range(ext2_filsys fs, blk64_t b, blk_t n, int inuse);
void __wrap_ext2fs_block_alloc_stats_range(ext2_filsys fs, blk64_t b, blk_t n, int inuse) { (void)fs; (void)b; (void)n; (void)inuse; }
void __wrap_ext2fs_inode_alloc_stats2(ext2_filsys fs, ext2_ino_t i, int inuse, int isdir);
void __wrap_ext2fs_inode_alloc_stats2(ext2_filsys fs, ext2_ino_t i, int inuse, int isdir) { (void)fs; (void)i; (void)inuse; (void)isdir; }
int main(void)
{
	/* ext2fs_alloc_block3() calls ext2fs_block_alloc_stats2() from another object of the archive. */
	struct ext2_super_block sb;
	ext2_filsys fs = NULL;
	blk64_t blk = 0;

	if (truncate("cl-conftest", 4096 * 4096))
		return 5;
	memset(&sb, 0, sizeof(sb));
	sb.s_blocks_count = 4096;
	if (ext2fs_initialize("cl-conftest", 0, &sb, unix_io_manager, &fs))
		return 2;
	if (ext2fs_allocate_tables(fs))
		return 3;
	if (!seen && ext2fs_alloc_block3(fs, 0, NULL, &blk, NULL))
		return 4;
	return seen ? 0 : 1;
}
]])], [cl_cv_ext2fs_wrap=yes], [cl_cv_ext2fs_wrap=no], [cl_cv_ext2fs_wrap=cross])
    LIBS=$cl_save_LIBS; LDFLAGS=$cl_save_LDFLAGS; CFLAGS=$cl_save_CFLAGS
    rm -f cl-conftest
  ])
  AS_IF([test "$cl_cv_ext2fs_wrap" = no],
    [AC_MSG_ERROR([the static libext2fs.a is missing or ignores --wrap: install libext2fs-dev and comerr-dev])])
  AC_SUBST([EXT2FS_LIBS])
  AC_SUBST([EXT2FS_WRAP])
])
