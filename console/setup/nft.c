/* nft - see nft.h. */
#include "console/setup/nft.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "addr.h"

#define MARK "0x00007072"	/* "pr"; also the number of the routing table */
#define TABLE "29298"
#define PORTS_MAX 64

extern char **environ;

/* -- the text -- */

static int
by_number(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* The ports that TLS connectors are at, each once, in order. */
static size_t
ports(const struct connector_set *set, uint16_t v[PORTS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++)
		for (size_t k = 0; set->v[i].tls && k < set->v[i].nhosts; k++) {
			uint16_t p = set->v[i].hosts[k].port;
			bool known = false;

			for (size_t j = 0; j < n; j++)
				known = known || v[j] == p;
			if (!known && n < PORTS_MAX)
				v[n++] = p;
		}
	qsort(v, n, sizeof(v[0]), by_number);
	return n;
}

static void
add_turn(struct buf *b, const char *in, const struct conf_listener *l,
    const uint16_t *port, size_t nports)
{
	bool v6 = l->address[0] == '[';

	buf_addf(b, "\t\tiifname \"%s\" meta nfproto ipv%d tcp dport ", in,
	    v6 ? 6 : 4);
	if (nports > 1)
		buf_add_str(b, "{ ");
	for (size_t i = 0; i < nports; i++)
		buf_addf(b, "%s%u", i == 0 ? "" : ", ", port[i]);
	buf_addf(b, "%s tproxy ip%s to %s meta mark set " MARK
	    " counter accept\n", nports > 1 ? " }" : "", v6 ? "6" : "",
	    l->address);
}

/* Listeners that agents reach by an address of this machine. */
static void
add_open(struct buf *b, const char *in, const struct conf_listener *l)
{
	struct slice host;
	struct addr a;
	uint16_t port;

	if (l->kind == CONF_TRANSPARENT ||
	    !addr_split_hostport(slice_str(l->address), 0, &host, &port) ||
	    !addr_parse_ip(host, &a) || addr_classify(&a) == ADDR_LOOPBACK)
		return;
	buf_addf(b, "\t\tiifname \"%s\" tcp dport %u accept\n", in, port);
}

static int
write_table(const struct onramp *o, const char *in, struct buf *b)
{
	const struct conf *c = o->conf;
	uint16_t port[PORTS_MAX];
	size_t n = ports(o->catalogue, port), listeners = 0;

	buf_add_str(b, "table inet portreeve {\n\tchain turn {\n\t\ttype filter"
	    " hook prerouting priority mangle; policy accept;\n");
	for (size_t i = 0; n > 0 && i < c->nlisteners; i++)
		if (c->listeners[i].kind == CONF_TRANSPARENT) {
			add_turn(b, in, &c->listeners[i], port, n);
			listeners++;
		}
	buf_addf(b, "\t}\n\n\tchain pass {\n\t\ttype filter hook forward"
	    " priority filter; policy accept;\n"
	    "\t\tiifname \"%s\" udp dport 443 counter drop comment \"QUIC\"\n"
	    "\t\tiifname \"%s\" tcp dport 853 counter drop comment \"DoT\"\n"
	    "\t\tiifname \"%s\" udp dport 853 counter drop comment \"DoQ\"\n"
	    "\t\tiifname \"%s\" counter drop comment \"all else\"\n", in, in,
	    in, in);
	buf_addf(b, "\t}\n\n\tchain here {\n\t\ttype filter hook input"
	    " priority filter; policy accept;\n"
	    "\t\tiifname \"%s\" meta mark " MARK " accept\n"
	    "\t\tiifname \"%s\" ct state established,related accept\n"
	    "\t\tiifname \"%s\" udp dport 53 accept\n"
	    "\t\tiifname \"%s\" tcp dport 53 accept\n"
	    "\t\tiifname \"%s\" meta l4proto ipv6-icmp accept\n", in, in, in,
	    in, in);
	for (size_t i = 0; i < c->nlisteners; i++)
		add_open(b, in, &c->listeners[i]);
	buf_addf(b, "\t\tiifname \"%s\" counter drop comment \"all else\"\n"
	    "\t}\n}\n", in);
	if (listeners > 0)
		return CLI_OK;
	cli_error("%s", n == 0 ? "no connector is https: there is nothing to"
	    " turn here" : "the configuration has no `transparent:` listener");
	return CLI_FAILED;
}

/* -- programs -- */

/* Runs argv with `in` as its input; its output goes to out, when wanted. The
 * exit status, or -1. */
static int
program(const char *const *argv, struct slice in, struct buf *out)
{
	posix_spawn_file_actions_t fa;
	FILE *f = tmpfile();	/* text that fits no pipe must not hang us */
	int fds[2], status = -1;
	ssize_t k;
	pid_t pid;

	if (f == NULL || fwrite(in.p, 1, in.n, f) != in.n || fflush(f) != 0 ||
	    fseek(f, 0, SEEK_SET) != 0 || pipe2(fds, O_CLOEXEC) != 0) {
		cli_error("%s: %s", argv[0], strerror(errno));
		return -1;
	}
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, fileno(f), 0);
	if (out != NULL)
		posix_spawn_file_actions_adddup2(&fa, fds[1], 1);
	int e = posix_spawnp(&pid, argv[0], &fa, NULL,
	    (char *const *)(uintptr_t)argv, environ);

	posix_spawn_file_actions_destroy(&fa);
	close(fds[1]);
	if (e != 0) {
		cli_error("%s: %s%s", argv[0], strerror(e), e == ENOENT ?
		    " (packages nftables and iproute2)" : "");
	} else {
		for (char *p; out != NULL &&
		    (p = buf_reserve(out, 4096)) != NULL &&
		    (k = read(fds[0], p, 4096)) > 0;)
			buf_commit(out, (size_t)k);
		if (waitpid(pid, &status, 0) == pid)
			status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	}
	close(fds[0]);
	fclose(f);
	return status;
}

#define RUN(in, out, ...) \
	program((const char *const[]){ __VA_ARGS__, NULL }, (in), (out))
#define NOTHING slice_make("", 0)

static const char *const families[][2] = { { "-4", "0.0.0.0/0" },
	{ "-6", "::/0" } };

static bool
has_rule(const char *family)
{
	struct buf b;
	bool has;

	buf_init(&b, 1u << 20);
	has = RUN(NOTHING, &b, "ip", family, "rule", "show", "fwmark",
	    "0x7072", "lookup", TABLE) == 0 && buf_slice(&b).n > 0;
	buf_free(&b);
	return has;
}

static bool
has_route(const char *family)
{
	struct buf b;
	bool has;

	buf_init(&b, 1u << 20);
	has = RUN(NOTHING, &b, "ip", family, "route", "show", "table",
	    TABLE) == 0 && slice_find(buf_slice(&b), SLICE("local")) >= 0;
	buf_free(&b);
	return has;
}

static int
apply(struct slice table)
{
	struct buf b;
	int rc = CLI_OK;

	for (size_t i = 0; i < ARRAY_LEN(families) && rc == CLI_OK; i++) {
		const char *f = families[i][0];

		if ((!has_rule(f) && RUN(NOTHING, NULL, "ip", f, "rule",
		    "add", "fwmark", "0x7072", "lookup", TABLE) != 0) ||
		    RUN(NOTHING, NULL, "ip", f, "route", "replace", "local",
		    families[i][1], "dev", "lo", "table", TABLE) != 0)
			rc = CLI_FAILED;
	}
	/* One transaction: there is no moment without the fence. */
	buf_init(&b, 1u << 20);
	buf_add_str(&b, "table inet portreeve\ndelete table inet portreeve\n");
	buf_add_slice(&b, table);
	if (rc == CLI_OK && RUN(buf_slice(&b), NULL, "nft", "-f", "-") != 0)
		rc = CLI_FAILED;
	buf_free(&b);
	if (rc == CLI_OK)
		fprintf(stderr, "applied; undo: portreeve proxy nft --interface"
		    " NAME --remove\n");
	return rc;
}

static int
take_away(void)
{
	int rc = RUN(NOTHING, NULL, "nft", "delete", "table", "inet",
	    "portreeve") == 0 ? CLI_OK : CLI_FAILED;

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		const char *f = families[i][0];

		while (has_rule(f) && RUN(NOTHING, NULL, "ip", f, "rule",
		    "del", "fwmark", "0x7072", "lookup", TABLE) == 0)
			;
		if (has_route(f) && RUN(NOTHING, NULL, "ip", f, "route",
		    "flush", "table", TABLE) != 0)
			rc = CLI_FAILED;
	}
	return rc;
}

static int
verify(struct slice table)
{
	struct buf b;
	int rc = CLI_OK;

	buf_init(&b, 1u << 20);
	if (RUN(NOTHING, &b, "nft", "-s", "list", "table", "inet",
	    "portreeve") != 0) {
		cli_error("the table inet portreeve is not there: --apply");
		rc = CLI_FAILED;
	} else if (!slice_eq(buf_slice(&b), table)) {
		buf_add_char(&b, '\0');
		char *want = slice_dup(table);

		cli_error("the table inet portreeve is another than the"
		    " configuration's (- is there, + should be):");
		cli_diff(stderr, buf_data(&b), want);
		free(want);
		rc = CLI_FAILED;
	}
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (!has_rule(families[i][0]) || !has_route(families[i][0])) {
			cli_error("ip %s: the rule for mark 0x7072 or its"
			    " table " TABLE " is not there: --apply",
			    families[i][0]);
			rc = CLI_FAILED;
		}
	buf_free(&b);
	if (rc == CLI_OK)
		fprintf(stderr, "the firewall is as the configuration says\n");
	return rc;
}

static bool
name_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n < IFNAMSIZ && strspn(s, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == n;
}

int
nft_counters(struct buf *out)
{
	return RUN(NOTHING, out, "nft", "list", "table", "inet", "portreeve");
}

int
nft_do(const struct onramp *o, const char *interface, enum nft_what what)
{
	struct buf b;
	int rc;

	if (!name_ok(interface)) {
		cli_error("--interface %s: this is no interface's name",
		    interface);
		return CLI_USAGE;
	}
	if (what == NFT_REMOVE)
		return take_away();
	buf_init(&b, 1u << 20);
	if ((rc = write_table(o, interface, &b)) == CLI_OK) {
		if (what == NFT_PRINT)
			printf("%.*s", SLICE_FMT(buf_slice(&b)));
		else if (what == NFT_CHECK)
			rc = RUN(buf_slice(&b), NULL, "nft", "-c", "-f",
			    "-") == 0 ? CLI_OK : CLI_FAILED;
		else
			rc = what == NFT_APPLY ? apply(buf_slice(&b)) :
			    verify(buf_slice(&b));
	}
	buf_free(&b);
	return rc;
}
