# resources/: groups, resources, placement (plan*: pure), resource types.
noinst_LIBRARIES += resources/libplan.a
resources_libplan_a_SOURCES = resources/plan.c resources/plan.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/plan_test
tests_unit_plan_test_SOURCES = tests/unit/plan_test.c
tests_unit_plan_test_LDADD = resources/libplan.a lib/libcl.a $(QB_LIBS) $(CMOCKA_LIBS)
endif

# Resource types: what an operator writes of each.
noinst_LIBRARIES += resources/libvmspec.a
resources_libvmspec_a_SOURCES = resources/vm_spec.c resources/vm_spec.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/vm_spec_test
tests_unit_vm_spec_test_SOURCES = tests/unit/vm_spec_test.c
tests_unit_vm_spec_test_LDADD = resources/libvmspec.a lib/libcl.a $(CMOCKA_LIBS)
endif
