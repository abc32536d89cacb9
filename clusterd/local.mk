# clusterd/
EXTRA_DIST += clusterd/core/node.h
