/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterctl/verbs.h"

#include <string.h>

#include "clusterctl/text.h"

const struct verb_option verb_globals[] = {
	{ "json", NULL, false, "the result as JSON, errors too" },
	{ "timeout", "SECONDS", false,
	  "wait no longer; exit code 6 when it still goes on (0: wait)" },
	{ "help", NULL, false, "what the verb does" },
	{ "version", NULL, false, "the program's version" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option events_options[] = {
	{ "follow", NULL, false, "go on with what happens from now on" },
	{ "number", "COUNT", false, "only the last COUNT (default 100)" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option set_quorum_options[] = {
	{ "force", NULL, false, "even if the LUN holds data: it is lost" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option set_node_options[] = {
	{ "level", "NUMBER", false, "1 to 9: tried after lower ones have failed (default 1)" },
	{ "option", "KEY=VALUE", true, "what the agent needs; again for each" },
	{ "retries", "NUMBER", false, "tried so often again (default 1)" },
	{ "limit", "SECONDS", false, "given up after so long (default 60)" },
	{ "keep-off", NULL, false, "the node is not switched on again" },
	{ "instead-of", "ADDRESS", false, "address: the one that it replaces, of several" },
	{ "file", "FILE", false, "read `key = value` lines, with these options as keys: secrets" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option confirm_options[] = {
	{ "yes", NULL, false, "do not ask for the name again" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option init_options[] = {
	{ "witness", "URL", false, "and a witness: iscsi://HOST[:PORT]/IQN/LUN or file:/PATH" },
	{ "name", "NAME", false, "the cluster's name (default: corosync's cluster_name)" },
	{ "address", "ADDRESS", true,
	  "corosync's here, again for each link (default: migration_address)" },
	{ "force", NULL, false,
	  "go on alone with this node's copy of the database: the majority is lost for ever" },
	{ "without", "NODE", true, "with --force: leave it behind though it shows signs of life" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option join_options[] = {
	{ "token", "TOKEN", false,
	  "from `create token` on NODE: for a machine without corosync.conf" },
	{ "address", "ADDRESS", true,
	  "corosync's here, again for each link (default: from where NODE is reached)" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option create_token_options[] = {
	{ "expires", "TIME", false, "good for so long: 90s, 15m, 2h, 1d (default 1h)" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option create_vm_options[] = {
	{ "disk", "PATH[,format=raw|qcow2]", true,
	  "disk image under /ClusterStorage; again for each disk" },
	{ "memory", "SIZE", false, "guest memory: 512M, 2G" },
	{ "cpus", "COUNT", false, "virtual CPUs (default 1)" },
	{ "kernel", "FILE", false, "boot this kernel directly" },
	{ "initrd", "FILE", false, "with this initial RAM disk" },
	{ "append", "TEXT", false, "and this kernel command line" },
	{ "nic", "BRIDGE[,mac=MAC]", true, "a network card (default: one on `vm`); none: without" },
	{ "machine", "TYPE", false, "versioned machine type (default pc-i440fx-7.2)" },
	{ "cpu", "MODEL", false, "CPU model (default qemu64)" },
	{ "accel", "tcg|kvm", false, "how the guest is run (default tcg)" },
	{ "priority", "NUMBER", false, "1 to 4000, higher first; 0: never started by itself" },
	{ "start-after", "WHEN", false, "after its node failed: auto, fence or lease" },
	{ "node", "NODE", false, "start it there" },
	{ "start", NULL, false, "start it at once" },
	{ "file", "FILE", false, "read `key = value` lines, with these options as keys" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option create_volume_options[] = {
	{ "target", "URL", false, "iscsi://HOST[:PORT]/IQN/LUN" },
	{ "force", NULL, false, "even if the LUN holds data: it is lost" },
	{ "unsafe-unfenceable", NULL, false,
	  "for tests: on a target that cannot fence. Data can be lost" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option stop_options[] = {
	{ "force", NULL, false, "pull the plug instead of asking the guest" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option stop_node_options[] = {
	{ "save", NULL, false, "keep the memory of VMs that no other node takes" },
	{ "force", NULL, false, "pull its VMs' plugs instead of moving them" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option stop_cluster_options[] = {
	{ "save", NULL, false,
	  "keep the memory of VMs on their volumes; they go on where they were" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option move_options[] = {
	{ "quick", NULL, false, "by a saved state instead of live" },
	{ "check", NULL, false, "only say whether it could be done" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option delete_options[] = {
	{ "force", NULL, false, "a volume: even if files of it are open" },
	{ "wipe", NULL, false, "a volume: and overwrite what makes its LUN one" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option maintenance_options[] = {
	{ "force", NULL, false, "even if files of it are open: they are cut off" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option check_options[] = {
	{ "offline", NULL, false, "by e2fsck, while the volume is in maintenance" },
	{ "repair", NULL, false, "offline: and repair what is damaged" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option help_options[] = {
	{ "man", NULL, false, "the synopsis lines of the manual page" },
	{ NULL, NULL, false, NULL },
};

static const struct verb_option restore_options[] = {
	{ "force", NULL, false,
	  "though clusterd runs on other nodes: they have no database either" },
	{ NULL, NULL, false, NULL },
};

const struct verb verbs[] = {
	{ "status", "", 0, 0, VERB_READS, "", NULL,
	  "how the cluster is: healthy or not and why, who runs what", "clusterctl status",
	  text_status },
	{ "list", "[TYPE]", 0, 1, VERB_READS, "type", NULL,
	  "all names, or those of a type: node, volume, vm", "clusterctl list vm", text_list },
	{ "show", "NAME", 1, 1, VERB_READS, "name", NULL,
	  "everything about a node, volume or resource; `quorum`: the votes", "clusterctl show vm1",
	  text_show },
	{ "events", "", 0, 0, VERB_READS | VERB_ENDLESS, "", events_options,
	  "what happened, oldest first", "clusterctl events --follow", text_event },
	{ "explain", "NAME", 1, 1, VERB_READS, "name", NULL,
	  "why something is as it is, and what ends it", "clusterctl explain vm1", text_explain },
	{ "init", "", 0, 0, 0, "", init_options,
	  "make a new cluster with this node as its first member, or go on alone with an old one",
	  "clusterctl init --name lab", NULL },
	{ "join", "NODE", 1, 1, 0, "node", join_options,
	  "make this node a member of the cluster that NODE is in",
	  "clusterctl join node1 --token clj1.AbC...", NULL },
	{ "create token", "", 0, 0, 0, "", create_token_options,
	  "let one machine join through this node, once", "clusterctl create token --expires 15m",
	  text_token },
	{ "leave", "[NODE]", 0, 1, 0, "node", NULL,
	  "drain NODE, or this node, and take it out of the cluster for good",
	  "clusterctl leave node4", NULL },
	{ "evict", "NODE", 1, 1, 0, "node", NULL,
	  "take NODE, which is dead or unreachable, out of the cluster for good",
	  "clusterctl evict node4", NULL },
	{ "fence confirm", "NODE", 1, 1, 0, "node", confirm_options,
	  "say that NODE, as you have seen, is off: what it ran may start elsewhere",
	  "clusterctl fence confirm node3", NULL },
	{ "fence test", "NODE", 1, 1, 0, "node", NULL,
	  "run NODE's fence agents from this node, only asking them how NODE is",
	  "clusterctl fence test node3", text_fence_test },
	{ "fence history", "[NODE]", 0, 1, VERB_READS, "node", NULL,
	  "how failed nodes were proven off, and what failed to", "clusterctl fence history",
	  text_fences },
	{ "set node", "NODE fence|address VALUE", 3, 3, 0, "node", set_node_options,
	  "add a fence agent that can switch NODE off, take its agents away; or change its address",
	  "clusterctl set node node3 fence fence_ipmilan --file /root/node3.bmc", NULL },
	{ "set vm", "NAME start-after auto|fence|lease", 3, 3, 0, "vm", NULL,
	  "say after what of its failed node NAME is started elsewhere",
	  "clusterctl set vm web start-after lease", NULL },
	{ "set quorum", "witness URL|none", 2, 2, 0, "", set_quorum_options,
	  "make a LUN, or a directory on a share, the witness: one more vote for an even number of "
	  "nodes",
	  "clusterctl set quorum witness iscsi://10.0.0.9/iqn.2026-01.lab:witness/1", NULL },
	{ "rotate", "key|certificates", 1, 1, 0, "secret", NULL,
	  "give the cluster a new corosync key, or a new CA and certificates",
	  "clusterctl rotate certificates", NULL },
	{ "backup", "FILE", 1, 1, VERB_READS, "", NULL,
	  "write the configuration of the cluster to FILE", "clusterctl backup /root/cluster.json",
	  NULL },
	{ "restore", "FILE", 1, 1, 0, "", restore_options,
	  "bring a cluster back from a backup, on a node that has no database",
	  "clusterctl restore /root/cluster.json", NULL },
	{ "create vm", "NAME", 1, 1, 0, "", create_vm_options, "a new virtual machine",
	  "clusterctl create vm web --disk /ClusterStorage/vol1/web.raw --memory 512M --start",
	  NULL },
	{ "create volume", "NAME", 1, 1, 0, "", create_volume_options,
	  "a new cluster shared volume on a LUN",
	  "clusterctl create volume vol1 --target iscsi://10.0.0.9/iqn.2026-01.lab:vol1/1", NULL },
	{ "delete", "NAME", 1, 1, 0, "name", delete_options,
	  "forget a resource that is stopped, or a volume that nothing uses",
	  "clusterctl delete web", NULL },
	{ "stop node", "[NODE]", 0, 1, 0, "node", stop_node_options,
	  "move everything away from NODE, or this node; then its machine may be switched off",
	  "clusterctl stop node node3", NULL },
	{ "stop cluster", "", 0, 0, 0, "", stop_cluster_options,
	  "shut every VM down and start none, until `start cluster`; then machines may be switched "
	  "off",
	  "clusterctl stop cluster", NULL },
	{ "start cluster", "", 0, 0, 0, "", NULL, "start what ran when the cluster was stopped",
	  "clusterctl start cluster", NULL },
	{ "start", "NAME [NODE]", 1, 2, 0, "name node", NULL, "start a resource, on NODE",
	  "clusterctl start web", NULL },
	{ "stop", "NAME", 1, 1, 0, "name", stop_options, "stop a resource and keep it stopped",
	  "clusterctl stop web", NULL },
	{ "move", "NAME NODE", 2, 2, 0, "name node", move_options,
	  "move a VM live, or a volume's coordination, to NODE", "clusterctl move web node2",
	  text_move },
	{ "drain", "NODE", 1, 1, 0, "node", NULL,
	  "move everything away from NODE and keep it empty", "clusterctl drain node2", NULL },
	{ "resume", "NODE", 1, 1, 0, "node", NULL, "let NODE run things again",
	  "clusterctl resume node2", NULL },
	{ "redirect", "VOLUME on|off", 2, 2, 0, "volume switch", NULL,
	  "send all I/O on a volume through its coordinator, or end that",
	  "clusterctl redirect vol1 on", NULL },
	{ "maintenance", "VOLUME on|off", 2, 2, 0, "volume switch", maintenance_options,
	  "take a volume out of use on every node, or give it back",
	  "clusterctl maintenance vol1 on", NULL },
	{ "check", "VOLUME", 1, 1, 0, "volume", check_options,
	  "look for damage on a volume, while it is in use or offline",
	  "clusterctl check vol1 --offline --repair", text_check },
	{ "grow", "VOLUME", 1, 1, 0, "volume", NULL,
	  "make a volume as large as its LUN has become; in maintenance", "clusterctl grow vol1",
	  NULL },
	{ "completion", "bash", 1, 1, VERB_LOCAL, "shell", NULL, "the completion script of a shell",
	  "clusterctl completion bash", NULL },
	{ "help", "[VERB]...", 0, 2, VERB_LOCAL, "verb", help_options,
	  "this list, or all about one verb", "clusterctl help move", NULL },
	{ NULL },
};

/* ---- finding ----------------------------------------------------------------------------------- */

const struct verb *verb_find(const char *first, const char *second, unsigned *ret_words)
{
	for (const struct verb *v = verbs; v->name; v++) {
		const char *space = strchr(v->name, ' ');
		size_t len = space ? (size_t)(space - v->name) : strlen(v->name);

		if (strlen(first) != len || strncmp(first, v->name, len) != 0)
			continue;
		if (space && (!second || strcmp(second, space + 1) != 0))
			continue;
		*ret_words = space ? 2 : 1;
		return v;
	}
	return NULL;
}

static const struct verb_option *option_in(const struct verb_option *o, const char *name)
{
	for (; o && o->name; o++)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

const struct verb_option *verb_option_find(const struct verb *verb, const char *name)
{
	const struct verb_option *o = option_in(verb->options, name);

	return o ? o : option_in(verb_globals, name);
}

/* Damerau's distance with a row of bounded length: adjacent letters swapped count once. */
static unsigned distance(const char *a, const char *b)
{
	enum { MAX = 24 };
	unsigned d[MAX + 1][MAX + 1];
	size_t n = strnlen(a, MAX), m = strnlen(b, MAX);

	for (size_t i = 0; i <= n; i++)
		d[i][0] = (unsigned)i;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++)
		for (size_t j = 1; j <= m; j++) {
			unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
			best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	return d[n][m];
}

/* A verb of two words is also near by either of them alone. */
static unsigned verb_distance(const char *word, const struct verb *v)
{
	const char *space = strchr(v->name, ' ');
	unsigned best = distance(word, v->name), d;
	char first[24] = "";

	if (strncmp(word, v->name, strlen(word)) == 0 && best > 1)
		best = 1;
	if (!space)
		return best;
	(void)snprintf(first, sizeof(first), "%.*s", (int)(space - v->name), v->name);
	d = distance(word, first);
	return d < best ? d : best;
}

unsigned verb_nearest(const char *word, const struct verb *ret[], unsigned n)
{
	unsigned found = 0;

	for (unsigned want = 0; want <= 2 && found < n; want++)
		for (const struct verb *v = verbs; v->name && found < n; v++)
			if (verb_distance(word, v) == want && strlen(v->name) > want)
				ret[found++] = v;
	return found;
}

/* ---- help -------------------------------------------------------------------------------------- */

void verb_synopsis(const struct verb *verb, FILE *out)
{
	(void)fputs(verb->name, out);
	if (*verb->operands)
		(void)fprintf(out, " %s", verb->operands);
	for (const struct verb_option *o = verb->options; o && o->name; o++)
		(void)fprintf(out, o->value ? " [--%s %s]%s" : " [--%s%s]%s", o->name,
			      o->value ? o->value : "", o->repeats ? "..." : "");
}

static void help_options_of(const struct verb_option *o, FILE *out)
{
	char left[40];

	for (; o && o->name; o++) {
		(void)snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "",
			       o->value ? o->value : "");
		(void)fprintf(out, "  %-20s %s\n", left, o->help);
	}
}

void verb_help(const struct verb *verb, FILE *out)
{
	(void)fputs("usage: clusterctl ", out);
	verb_synopsis(verb, out);
	(void)fprintf(out, "\n\n%s\n\n", verb->summary);
	help_options_of(verb->options, out);
	help_options_of(verb_globals, out);
	(void)fprintf(out, "\nexample: %s\n", verb->example);
}

void verb_help_all(FILE *out)
{
	char left[40];

	(void)fputs("usage: clusterctl VERB [OPERAND]... [OPTION]...\n\n", out);
	for (const struct verb *v = verbs; v->name; v++) {
		(void)snprintf(left, sizeof(left), "%s %s", v->name, v->operands);
		(void)fprintf(out, "  %-20s %s\n", left, v->summary);
	}
	(void)fputs("\nwith every verb:\n", out);
	help_options_of(verb_globals, out);
	(void)fputs("\n`clusterctl help VERB` tells all about one.\n", out);
}

void verb_man_synopsis(FILE *out)
{
	for (const struct verb *v = verbs; v->name; v++) {
		(void)fprintf(out, ".Nm\n.Cm %s\n", v->name);
		if (*v->operands)
			(void)fprintf(out, ".Ar %s\n", v->operands);
		for (const struct verb_option *o = v->options; o && o->name; o++) {
			(void)fprintf(out, ".Op Fl -%s", o->name);
			if (o->value)
				(void)fprintf(out, " Ar %s", o->value);
			(void)fputs(o->repeats ? " ...\n" : "\n", out);
		}
	}
}

/* ---- bash completion ---------------------------------------------------------------------------- */

static void completion_case(const struct verb *v, FILE *out)
{
	(void)fprintf(out, "\t'%s') kinds='%s' options='", v->name, v->complete);
	for (const struct verb_option *o = v->options; o && o->name; o++)
		(void)fprintf(out, "--%s ", o->name);
	for (const struct verb_option *o = verb_globals; o->name; o++)
		(void)fprintf(out, "--%s ", o->name);
	(void)fputs("' ;;\n", out);
}

/* Of two-word verbs that begin with `first`; of all when it is NULL the first words. */
static void completion_words(const char *first, FILE *out)
{
	const char *before = "";

	for (const struct verb *v = verbs; v->name; v++) {
		const char *space = strchr(v->name, ' ');
		size_t len = space ? (size_t)(space - v->name) : strlen(v->name);

		if (first && (!space || strlen(first) != len || strncmp(first, v->name, len) != 0))
			continue;
		if (first)
			(void)fprintf(out, "%s ", space + 1);
		else if (strncmp(before, v->name, len) != 0 || before[len] != ' ')
			(void)fprintf(out, "%.*s ", (int)len, v->name);
		before = v->name;
	}
}

void verb_bash_completion(FILE *out)
{
	(void)fputs(
		"# bash completion of clusterctl; made by `clusterctl completion bash`\n"
		"_clusterctl_names()\n{\n"
		"\tclusterctl list $1 --timeout 2 2>/dev/null | awk 'NR > 1 { print $1 }'\n}\n\n"
		"_clusterctl()\n{\n"
		"\tlocal cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} at=2 kinds options "
		"kind\n"
		"\tlocal firsts='",
		out);
	completion_words(NULL, out);
	(void)fputs("' creates='", out);
	completion_words("create", out);
	(void)fputs("' sets='", out);
	completion_words("set", out);
	(void)fputs("' fences='", out);
	completion_words("fence", out);
	(void)fputs("'\n\tCOMPREPLY=()\n"
		    "\tif [ \"$COMP_CWORD\" = 1 ]; then\n"
		    "\t\tCOMPREPLY=($(compgen -W \"$firsts\" -- \"$cur\")); return\n\tfi\n"
		    "\tif [[ $verb = create || $verb = set || $verb = fence ]]; then\n"
		    "\t\tif [ \"$COMP_CWORD\" = 2 ]; then\n"
		    "\t\t\tcase $verb in set) creates=$sets ;; fence) creates=$fences ;; esac\n"
		    "\t\t\tCOMPREPLY=($(compgen -W \"$creates\" -- \"$cur\")); return\n\t\tfi\n"
		    "\t\tverb=\"$verb ${COMP_WORDS[2]}\" at=3\n\tfi\n"
		    "\tcase $verb in\n",
		    out);
	for (const struct verb *v = verbs; v->name; v++)
		completion_case(v, out);
	(void)fputs(
		"\t*) return ;;\n\tesac\n"
		"\tcase $cur in\n"
		"\t-*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")); return ;;\n\tesac\n"
		"\tcase ${COMP_WORDS[COMP_CWORD-1]} in\n"
		"\t--disk|--kernel|--initrd|--file) COMPREPLY=($(compgen -f -- \"$cur\")); return "
		";;\n"
		"\t--node) kinds=node at=$COMP_CWORD ;;\n\tesac\n"
		"\tset -- $kinds\n"
		"\tkind=${@:$((COMP_CWORD - at + 1)):1}\n"
		"\tcase $kind in\n"
		"\tname) COMPREPLY=($(compgen -W \"$(_clusterctl_names)\" -- \"$cur\")) ;;\n"
		"\tnode) COMPREPLY=($(compgen -W \"$(_clusterctl_names node)\" -- \"$cur\")) ;;\n"
		"\ttype) COMPREPLY=($(compgen -W 'node volume vm' -- \"$cur\")) ;;\n"
		"\tvolume) COMPREPLY=($(compgen -W \"$(_clusterctl_names volume)\" -- "
		"\"$cur\")) ;;\n"
		"\tsecret) COMPREPLY=($(compgen -W 'key certificates' -- \"$cur\")) ;;\n"
		"\tswitch) COMPREPLY=($(compgen -W 'on off' -- \"$cur\")) ;;\n"
		"\tshell) COMPREPLY=($(compgen -W bash -- \"$cur\")) ;;\n"
		"\tverb) COMPREPLY=($(compgen -W \"$firsts\" -- \"$cur\")) ;;\n"
		"\tesac\n}\ncomplete -F _clusterctl clusterctl\n",
		out);
}
