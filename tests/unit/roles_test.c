/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may do what: each verb of clusterd against the table of docs/life.md, for each role; and clusterd's verbs
 * against clusterctl's. A verb that is new is an administrator's here until this table says something else.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "clusterctl/verbs.h"
#include "clusterd/requests.h"
#include "lib/error.h"

static const char *const of_view[] = { "status",  "list",	   "show", "events",
				       "explain", "fence history", NULL };
static const char *const of_op[] = { "start",  "stop",	   "move",	  "drain",
				     "resume", "redirect", "maintenance", NULL };

static bool among(const char *const *list, const char *verb)
{
	for (; *list; list++)
		if (strcmp(*list, verb) == 0)
			return true;
	return false;
}

static enum ipc_role wanted(const char *verb)
{
	return among(of_view, verb) ? IPC_VIEW : among(of_op, verb) ? IPC_OP : IPC_ADMIN;
}

static void test_each_verb_for_each_role(void **state)
{
	enum ipc_role role;
	const char *verb;

	(void)state;
	for (size_t i = 0; (verb = requests_verb(i, &role)); i++) {
		if (role != wanted(verb))
			fail_msg("%s: role %d instead of %d", verb, role, wanted(verb));
		for (int who = IPC_NONE; who <= IPC_ADMIN; who++) {
			struct cl_error err = CL_ERROR_INIT;
			int r = requests_may(verb, (enum ipc_role)who, &err);

			if (r != (who >= (int)role ? 0 : -CL_EREFUSED))
				fail_msg("%s for role %d: %d", verb, who, r);
			if (r < 0 && (!strstr(err.msg, verb) || !strstr(err.msg, "clusteradm")))
				fail_msg("%s: '%s' does not say who may", verb, err.msg);
		}
		/* What needs more than reading leaves a trace, whoever asked. */
		assert_int_equal(requests_reads(verb), role == IPC_VIEW);
	}
}

static const struct verb *of_clusterctl(const char *name)
{
	for (const struct verb *v = verbs; v->name; v++)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

static bool clusterd_knows(const char *name)
{
	enum ipc_role role;
	const char *verb;

	for (size_t i = 0; (verb = requests_verb(i, &role)); i++)
		if (strcmp(verb, name) == 0)
			return true;
	return false;
}

static void test_same_verbs_as_clusterctl(void **state)
{
	enum ipc_role role;
	const char *verb;

	(void)state;
	for (size_t i = 0; (verb = requests_verb(i, &role)); i++) {
		const struct verb *v = of_clusterctl(verb);

		if (!v || v->flags & VERB_LOCAL)
			fail_msg("clusterctl has no verb '%s'", verb);
		if (role == IPC_VIEW && !(v->flags & VERB_READS))
			fail_msg("%s changes something and is open to readers", verb);
	}
	for (const struct verb *v = verbs; v->name; v++)
		if (!(v->flags & VERB_LOCAL) && !clusterd_knows(v->name))
			fail_msg("clusterd has no verb '%s'", v->name);
}

static void test_unknown_verb(void **state)
{
	struct cl_error err = CL_ERROR_INIT;

	(void)state;
	assert_int_equal(requests_may("destroy", IPC_VIEW, &err), 0);
	assert_true(requests_reads("destroy"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_verb_for_each_role),
		cmocka_unit_test(test_same_verbs_as_clusterctl),
		cmocka_unit_test(test_unknown_verb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
