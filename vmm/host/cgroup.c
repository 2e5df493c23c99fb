/*
 * A control group of our own, beside the one that we are in: a group with processes cannot have groups with a memory
 * limit below it, but for the root (Documentation/admin-guide/cgroup-v2.rst, v6.1, "No Internal Process Constraint").
 * Only version 2; where version 1 has the memory controller, or a manager must be asked, the sentence says what to run.
 */
#include "vmm/host/cgroup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/opt.h"
#include "vmm/base/sysfile.h"

#define PREFIX "trellis-"

enum { MAX_NAME = 64 }; /* of the guest's name in the group's */

/* How things are here. All strings owned; paths begin with root, so that they are used as they are. */
struct place {
	char *path;     /* our group in its hierarchy, as the kernel says it; NULL: no version 2 */
	char *v2;       /* where version 2 is mounted; NULL: nowhere */
	char *v1;       /* where the memory controller of version 1 is mounted; NULL: nowhere */
	char *own;      /* the directory of our group; NULL: not under any mount */
	char *base;     /* the directory that gets the new group */
	bool top;       /* base is the root of its mount */
	bool switch_on; /* base does not have the memory controller for its groups yet, and may get it */
	bool systemd;   /* runs this host (sd_booted(3)) */
};

static void place_fini(struct place *p)
{
	free(p->path);
	free(p->v2);
	free(p->v1);
	free(p->own);
	free(p->base);
	*p = (struct place){ 0 };
}

PRINTF(1, 2) static char *text_new(const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : text;
}

/* Call line(ctx, text) for each line, without its newline, which it may change. A file that is not there has none. */
static int each_line(const char *root, const char *name, int (*line)(void *ctx, char *text), void *ctx)
{
	char *path = text_new("%s%s", root, name);
	FILE *f = path ? fopen(path, "re") : NULL;
	char *text = NULL;
	size_t size = 0;
	int rc = path ? 0 : -ENOMEM;

	while (f && rc == 0 && getline(&text, &size, f) >= 0) {
		text[strcspn(text, "\n")] = '\0';
		rc = line(ctx, text);
	}
	free(text);
	if (f)
		fclose(f);
	free(path);
	return rc;
}

/* "0::/path" is version 2; "4:memory:/path" would be version 1 (cgroups(7)). */
static int take_group(void *ctx, char *text)
{
	struct place *p = ctx;

	if (strncmp(text, "0::/", 4) != 0 || p->path)
		return 0;
	p->path = strdup(text + 3);
	return p->path ? 0 : -ENOMEM;
}

/* "\040" is a blank, and so on (proc_pid_mountinfo(5)). In place. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* Is word among the words of text, which are separated by any of sep? */
static bool has_word(const char *text, const char *word, const char *sep)
{
	size_t len;

	for (; *text; text += len) {
		text += strspn(text, sep);
		len = strcspn(text, sep);
		if (len == strlen(word) && strncmp(text, word, len) == 0)
			return true;
	}
	return false;
}

/* What is left of path below top ("" for top itself), or NULL when it is not below. */
static const char *below(const char *path, const char *top)
{
	size_t len = strcmp(top, "/") == 0 ? 0 : strlen(top);

	if (strncmp(path, top, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	return strcmp(path + len, "/") == 0 ? "" : path + len;
}

struct mounts {
	struct place *place;
	const char *root;
};

/* A mount of version 2. It shows the groups below its root, which need not be ours. */
static int take_v2(struct mounts *m, const char *top, const char *dir)
{
	struct place *p = m->place;
	const char *rest = p->path && !p->own ? below(p->path, top) : NULL;

	if (!p->v2 && !(p->v2 = text_new("%s%s", m->root, dir)))
		return -ENOMEM;
	/* "/.." is outside of our cgroup namespace (cgroup_namespaces(7)). */
	if (!rest || strcmp(rest, "/..") == 0 || strncmp(rest, "/../", 4) == 0)
		return 0;
	p->own = text_new("%s%s%s", m->root, dir, rest);
	p->base = text_new("%s%s%.*s", m->root, dir, (int)(*rest ? strrchr(rest, '/') - rest : 0), rest);
	p->top = !*rest || strrchr(rest, '/') == rest;
	return p->own && p->base ? 0 : -ENOMEM;
}

/* "41 31 0:38 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw" (proc_pid_mountinfo(5)) */
static int take_mount(void *ctx, char *text)
{
	struct mounts *m = ctx;
	char *rest = strstr(text, " - "), *field[5], *type, *save;

	if (!rest)
		return 0;
	*rest = '\0';
	rest += 3;
	for (size_t i = 0; i < ARRAY_SIZE(field); i++, text = NULL) {
		field[i] = strtok_r(text, " ", &save);
		if (!field[i])
			return 0;
	}
	unescape(field[3]);
	unescape(field[4]);
	type = strtok_r(rest, " ", &save);
	if (type && strcmp(type, "cgroup2") == 0)
		return take_v2(m, field[3], field[4]);
	if (type && strcmp(type, "cgroup") == 0 && has_word(save, "memory", " ,") && !m->place->v1)
		return (m->place->v1 = text_new("%s%s", m->root, field[4])) ? 0 : -ENOMEM;
	return 0;
}

/* Look around. Only running out of memory is a failure. */
static int place_find(struct place *p, const char *root)
{
	struct mounts m = { .place = p, .root = root };
	char *systemd = text_new("%s/run/systemd/system", root);
	int rc = systemd ? 0 : -ENOMEM;

	p->systemd = systemd && access(systemd, F_OK) == 0;
	free(systemd);
	if (rc == 0)
		rc = each_line(root, "/proc/self/cgroup", take_group, p);
	if (rc == 0)
		rc = each_line(root, "/proc/self/mountinfo", take_mount, &m);
	return rc;
}

/* Is the memory controller among those in a group's file? */
static bool has_memory(const char *dir, const char *file)
{
	char words[512];

	return sysfile_text("", words, sizeof(words), "%s/%s", dir, file) > 0 &&
	       has_word(words, "memory", " ");
}

/* Returns 0, or the negative errno of access(2). */
static int may(const char *dir, const char *file, int mode)
{
	char *path = text_new("%s/%s", dir, file);
	int rc = path ? 0 : -ENOMEM;

	if (path && access(path, mode) < 0)
		rc = -errno;
	free(path);
	return rc;
}

/* What an administrator would do, as it is here. */
static void mend_text(const struct place *p, uint64_t max_bytes, char *text, size_t len)
{
	unsigned long long max = max_bytes;
	bool v2 = p->v2 && has_memory(p->v2, "cgroup.controllers");

	if (p->systemd && (v2 || p->v1))
		snprintf(text, len,
			 "run it without hard-limit= by: "
			 "systemd-run --scope -p MemoryMax=%llu -- trellis run ...",
			 max);
	else if (v2)
		snprintf(text, len,
			 "leave hard-limit= out, and as root in the shell that starts it: "
			 "echo +memory >%s/cgroup.subtree_control; mkdir %s/trellis; "
			 "echo %llu >%s/trellis/memory.max; echo $$ >%s/trellis/cgroup.procs",
			 p->v2, p->v2, max, p->v2, p->v2);
	else if (p->v1)
		snprintf(text, len,
			 "leave hard-limit= out, and as root in the shell that starts it: mkdir %s/trellis; "
			 "echo %llu >%s/trellis/memory.limit_in_bytes; echo $$ >%s/trellis/cgroup.procs",
			 p->v1, max, p->v1, p->v1);
	else if (p->v2)
		snprintf(text, len,
			 "boot Linux without cgroup_disable=memory, or have this container given the memory "
			 "controller");
	else
		snprintf(text, len, "mount version 2, as root: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
}

/* The one sentence for every reason why: what was asked, the reason, what mends it. Returns rc. */
PRINTF(5, 6)
static int refuse(const struct place *p, uint64_t max_bytes, struct err *e, int rc, const char *fmt, ...)
{
	char why[256], mend[416], asked[24];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	mend_text(p, max_bytes, mend, sizeof(mend));
	return err_set(e, rc, "--memory hard-limit=%s: %s; %s",
		       opt_size_text(max_bytes, asked, sizeof(asked)), why, mend);
}

/* Could a group be made here, as far as one can tell without trying? Sets p->switch_on. */
static int place_judge(struct place *p, uint64_t max_bytes, struct err *e)
{
	const char *base = p->base;
	int rc;

	if (!p->v2 || !p->path)
		return refuse(p, max_bytes, e, -EOPNOTSUPP, "there are no control groups of version 2 here");
	if (!p->own)
		return refuse(p, max_bytes, e, -EOPNOTSUPP, "our control group %s is not below %s", p->path,
			      p->v2);
	if (!has_memory(base, "cgroup.subtree_control")) {
		if (p->v1 && !has_memory(p->v2, "cgroup.controllers"))
			return refuse(p, max_bytes, e, -EOPNOTSUPP,
				      "the memory controller belongs to control groups of version 1 here");
		if (!has_memory(base, "cgroup.controllers") || !p->top)
			return refuse(p, max_bytes, e, -EOPNOTSUPP,
				      "the memory controller is off for the control groups in %s", base);
		rc = may(base, "cgroup.subtree_control", W_OK);
		if (rc < 0)
			return refuse(p, max_bytes, e, rc,
				      "we may not switch the memory controller on in %s (%s)", base,
				      strerror(-rc));
		p->switch_on = true;
	}
	/* Moving a process takes write access to the common ancestor (cgroup-v2.rst, "Delegation Containment"). */
	if ((rc = may(base, ".", W_OK | X_OK)) < 0 || (rc = may(base, "cgroup.procs", W_OK)) < 0)
		return refuse(p, max_bytes, e, rc, "we may not make a control group in %s (%s)", base,
			      strerror(-rc));
	return 0;
}

static int place_open(struct place *p, const char *root, uint64_t max_bytes, struct err *e)
{
	int rc = place_find(p, root);

	if (rc < 0)
		return err_set(e, rc, "out of memory for the names of control groups");
	return place_judge(p, max_bytes, e);
}

int cgroup_check(const char *root, uint64_t max_bytes, struct err *e)
{
	struct place p = { 0 };
	int rc = place_open(&p, root, max_bytes, e);

	place_fini(&p);
	return rc;
}

/* The number behind the last '-' of "trellis-NAME-PID", or 0 when it is none of our names. */
static pid_t pid_of_name(const char *name)
{
	const char *digits = strrchr(name, '-');
	long pid;
	char *end;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || !isdigit((unsigned char)digits[1]))
		return 0;
	errno = 0;
	pid = strtol(digits + 1, &end, 10);
	return *end || errno || pid > INT32_MAX ? 0 : (pid_t)pid;
}

/*
 * Remove what a killed trellis left behind. A group that has processes after all, as one of another pid namespace,
 * stays: rmdir(2) says EBUSY.
 */
static void remove_stale(const char *base)
{
	DIR *d = opendir(base);
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		pid_t pid = pid_of_name(entry->d_name);

		if (pid > 0 && kill(pid, 0) < 0 && errno == ESRCH)
			(void)unlinkat(dirfd(d), entry->d_name, AT_REMOVEDIR);
	}
	if (d)
		closedir(d);
}

/* "trellis-NAME-PID" in base; of the name, what is safe in a path. */
static char *group_dir(const char *base, const char *name)
{
	char safe[MAX_NAME + 1];
	size_t len = 0;

	for (; name && *name && len < MAX_NAME; name++)
		safe[len++] = isalnum((unsigned char)*name) || strchr("._-", *name) ? *name : '_';
	safe[len] = '\0';
	return text_new("%s/" PREFIX "%s%s%d", base, safe, len ? "-" : "", (int)getpid());
}

/* Make the directory. One of this very name is left from a process that had our number, unless somebody is in it. */
static int group_make(const char *dir)
{
	char events[128];

	if (mkdir(dir, 0755) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (sysfile_text("", events, sizeof(events), "%s/cgroup.events", dir) > 0 &&
	    strstr(events, "populated 0"))
		return 0;
	return -EEXIST;
}

static int move_to(const char *dir)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	return sysfile_write("", pid, "%s/cgroup.procs", dir);
}

/* Make the group and go there. */
static int cgroup_enter(struct cgroup *c, const struct place *p, const char *name, uint64_t max_bytes,
			struct err *e)
{
	char max[24];
	int rc;

	c->dir = group_dir(p->base, name);
	c->parent = strdup(p->own);
	if (!c->dir || !c->parent)
		return err_set(e, -ENOMEM, "out of memory for the names of control groups");
	rc = p->switch_on ? sysfile_write("", "+memory", "%s/cgroup.subtree_control", p->base) : 0;
	if (rc < 0)
		return refuse(p, max_bytes, e, rc, "cannot switch the memory controller on in %s (%s)",
			      p->base, strerror(-rc));
	remove_stale(p->base);
	rc = group_make(c->dir);
	if (rc < 0)
		return refuse(p, max_bytes, e, rc, "cannot make the control group %s (%s)", c->dir,
			      strerror(-rc));
	snprintf(max, sizeof(max), "%llu", (unsigned long long)max_bytes);
	rc = sysfile_write("", max, "%s/memory.max", c->dir);
	if (rc < 0)
		return refuse(p, max_bytes, e, rc, "cannot set %s/memory.max (%s)", c->dir, strerror(-rc));
	rc = move_to(c->dir);
	if (rc < 0)
		return refuse(p, max_bytes, e, rc, "cannot move to the control group %s (%s)", c->dir,
			      strerror(-rc));
	return 0;
}

int cgroup_init(struct cgroup *c, const char *root, const char *name, uint64_t max_bytes, struct err *e)
{
	struct place p = { 0 };
	int rc;

	*c = (struct cgroup){ 0 };
	rc = place_open(&p, root, max_bytes, e);
	if (rc == 0)
		rc = cgroup_enter(c, &p, name, max_bytes, e);
	if (rc < 0)
		cgroup_fini(c);
	place_fini(&p);
	return rc;
}

/* Harmless when the group was not made, or we are not in it. */
static void cgroup_leave(const struct cgroup *c)
{
	char *base = strndup(c->dir, (size_t)(strrchr(c->dir, '/') - c->dir));

	/* Where we came from is gone, or has groups with controllers by now: then the group above will do. */
	if (move_to(c->parent) < 0 && base)
		(void)move_to(base);
	free(base);
	(void)rmdir(c->dir); /* else the next trellis removes it */
}

void cgroup_fini(struct cgroup *c)
{
	if (c->dir && c->parent)
		cgroup_leave(c);
	free(c->dir);
	free(c->parent);
	*c = (struct cgroup){ 0 };
}
