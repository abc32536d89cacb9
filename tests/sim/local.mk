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
	tests/sim/cluster_goodbye.c tests/sim/cluster_planned.c \
	tests/sim/cluster_faults.c tests/sim/cluster_feeder.c tests/sim/cluster_fence.c \
	tests/sim/cluster_force.c tests/sim/cluster_hang.c \
	tests/sim/cluster_judge.c tests/sim/cluster_lun.c \
	tests/sim/cluster_members.c tests/sim/cluster_migrate.c tests/sim/cluster_owed.c \
	tests/sim/cluster_nemesis.c tests/sim/cluster_tasks.c tests/sim/cluster_vm.c \
	tests/sim/cluster_scene.c tests/sim/cluster_scene.h tests/sim/cluster_scene_core.c \
	tests/sim/cluster_scene_lun.c tests/sim/cluster_scene_witness.c tests/sim/cluster_lines.c \
	tests/sim/cluster_split.c tests/sim/cluster_story.c \
	tests/sim/cluster_wire.c tests/sim/cluster_witness.c \
	tests/sim/cluster_store.c tests/sim/cluster_store.h tests/sim/cluster_nexus.c \
	tests/sim/cluster_target.c tests/sim/cluster_target.h tests/sim/cluster_session.c tests/sim/cluster_stale.c \
	tests/sim/lun_env.c tests/sim/lun_env.h \
	$(SIM_CSVD)
# csvd's own code, with its defect switches; what is around it is tests/sim/lun_env.c and cluster_target.c.
SIM_CSVD = csv/data.c csv/nexus.c csv/role.c csv/store_lun.c \
	iscsi/control.c iscsi/control_jobs.c iscsi/pr.c iscsi/pr_admit.c iscsi/pr_check.c \
	iscsi/pr_fence.c iscsi/pr_tail.c iscsi/url.c
tests_sim_sim_CPPFLAGS = $(AM_CPPFLAGS) -DCL_SIM -DCL_DEFECTS=1
tests_sim_sim_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_gettime,--wrap=getrandom
$(tests_sim_sim_OBJECTS): $(BUILT_SOURCES)
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
