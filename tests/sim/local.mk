# tests/sim/: pure nodes in a simulated world.
# make check-sim SEEDS=A-B|A,B NODES=n DEFECT=name TRACE=1 MODEL=cluster|raft (default: both)
noinst_PROGRAMS += tests/sim/sim
tests_sim_sim_SOURCES = \
	tests/sim/main.c tests/sim/suite.h \
	tests/sim/sim.c tests/sim/sim.h \
	tests/sim/raft_sim.c tests/sim/raft_world.c tests/sim/raft_world.h \
	tests/sim/raft_oracle.c tests/sim/raft_nemesis.c \
	tests/sim/cluster_sim.c tests/sim/cluster_world.c tests/sim/cluster_world.h \
	tests/sim/cluster_client.c tests/sim/cluster_csvd.c \
	tests/sim/cluster_disk.c tests/sim/cluster_driver.c tests/sim/cluster_driver.h \
	tests/sim/cluster_planned.c \
	tests/sim/cluster_faults.c tests/sim/cluster_feeder.c tests/sim/cluster_fence.c \
	tests/sim/cluster_force.c tests/sim/cluster_hang.c \
	tests/sim/cluster_judge.c tests/sim/cluster_lun.c \
	tests/sim/cluster_members.c tests/sim/cluster_migrate.c \
	tests/sim/cluster_nemesis.c tests/sim/cluster_tasks.c tests/sim/cluster_vm.c \
	tests/sim/cluster_split.c tests/sim/cluster_witness.c
tests_sim_sim_CPPFLAGS = $(AM_CPPFLAGS) -DCL_SIM
tests_sim_sim_LDADD = csv/libcsvd.a clusterd/libcore.a quorum/libstate.a quorum/libquorum_sim.a \
	resources/libplan.a proto/libpb.a lib/libcl.a $(PROTOBUFC_LIBS)

# Command-line variables of make are in the recipe's environment.
SEEDS = 1-1000
.PHONY: check-sim
check-sim: tests/sim/sim
	@tests/sim/sim --seeds "$(SEEDS)" $${NODES:+--nodes "$$NODES"} \
		$${DEFECT:+--defect "$$DEFECT"} $${TRACE:+--trace} $${MODEL:+--suite "$$MODEL"}

# 10,000 seeds of all suites and sizes: ten minutes on two processors. FIRST=N JOBS=n
.PHONY: check-sim-campaign
check-sim-campaign: tests/sim/sim
	@$(srcdir)/tests/sim/campaign
EXTRA_DIST += tests/sim/campaign

# What make check does of it: some seeds, and each defect switch shown caught.
dist_check_SCRIPTS += tests/sim/check-seeds tests/sim/check-defects
EXTRA_DIST += tests/sim/defect-seeds
