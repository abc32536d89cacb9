# migration/: QEMU by QMP, live migration as a state machine over an ops table.
EXTRA_DIST += migration/vm.h migration/vm_config.h
