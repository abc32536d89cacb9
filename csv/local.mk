# csv/
include csv/fs.mk
