/*
 * doctor_roads - what tells of clients without sending anything: the fence of
 * transparent mode, the folder of local servers, and the map of who trusts
 * the CA.
 */
#include "console/setup/doctor.h"
#include "console/setup/nft.h"
#include "console/setup/trustmap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

#define MAP_MS (24 * 3600000LL)

/* "3 QUIC, 7 all else": what the fence has dropped. Lines of the table are
 * ... counter packets N bytes M drop comment "WHAT" */
static void
dropped(struct slice table, char out[160])
{
	size_t n = 0;

	out[0] = '\0';
	while (table.p != NULL && n < 100) {
		struct slice line = slice_cut(&table, '\n'), count, what;
		ssize_t at = slice_find(line, SLICE("packets "));
		ssize_t why = slice_find(line, SLICE("drop comment \""));
		uint64_t packets;

		if (at < 0 || why < 0)
			continue;
		count = slice_sub(line, (size_t)at + 8, SIZE_MAX);
		what = slice_sub(line, (size_t)why + 14, SIZE_MAX);
		if (!slice_to_u64(slice_cut(&count, ' '), &packets) ||
		    packets == 0)
			continue;
		what = slice_sub(slice_cut(&what, '"'), 0, 20);
		n += (size_t)snprintf(out + n, 160 - n, "%s%llu %.*s",
		    n == 0 ? "" : ", ", (unsigned long long)packets,
		    SLICE_FMT(what));
	}
}

static void
look_at_fence(struct doctor *d)
{
	char found[160];
	struct buf table;
	int r;

	buf_init(&table, 1u << 20);
	r = geteuid() != 0 ? -1 : nft_counters(&table);
	dropped(buf_slice(&table), found);
	if (r < 0)
		doctor_add(d, DOCTOR_WARN, "fence", "run this as root, with the"
		    " package nftables", "the firewall cannot be looked at");
	else if (r != 0)
		doctor_add(d, DOCTOR_FAIL, "fence", "portreeve proxy nft"
		    " --interface NAME --apply", "a transparent listener, but"
		    " no table inet portreeve turns anything to it");
	else if (found[0] != '\0')
		doctor_add(d, DOCTOR_WARN, "fence", "somebody tries to go"
		    " around: portreeve client trust, and the counters of"
		    " `nft list table inet portreeve`", "packets dropped: %s",
		    found);
	else
		doctor_add(d, DOCTOR_OK, "fence", "", "the table is there,"
		    " nothing was dropped");
	buf_free(&table);
}

static void
look_at_folder(struct doctor *d, const char *folder)
{
	char socket[4200], check[80];
	struct stat st;

	snprintf(check, sizeof(check), "stdio %s", folder);
	snprintf(socket, sizeof(socket), "%s/0.sock", folder);
	if (stat(socket, &st) != 0)
		doctor_add(d, DOCTOR_FAIL, check, "start the daemons; agents'"
		    " accounts must be able to reach this folder", "%s: %s",
		    socket, strerror(errno));
	else
		doctor_add(d, DOCTOR_OK, check, "", "%s", socket);
}

static void
look_at_clients(struct doctor *d)
{
	struct err err = { 0 };
	struct trustmap *m = trustmap_load(d->ramp.conf->state_dir,
	    clock_wall_ms() - MAP_MS, &err);
	unsigned n[TRUSTMAP_STATES] = { 0 };

	if (m == NULL) {
		doctor_add(d, DOCTOR_WARN, "clients", "run this as root or as"
		    " the daemons' user", "%s", err.text);
		return;
	}
	for (size_t i = 0; i < m->n; i++)
		n[m->v[i].state]++;
	trustmap_free(m);
	if (n[TRUSTMAP_REFUSES] + n[TRUSTMAP_SILENT] + n[TRUSTMAP_AROUND] == 0)
		doctor_add(d, DOCTOR_OK, "clients", "", "%u trust the CA, %u"
		    " need none; none refused it within a day",
		    n[TRUSTMAP_TRUSTS], n[TRUSTMAP_NO_CA]);
	else
		doctor_add(d, DOCTOR_WARN, "clients", "portreeve client trust"
		    " says which, and what to do", "within a day: %u refuse the"
		    " CA, %u ended TLS silently, %u went around, %u trust it",
		    n[TRUSTMAP_REFUSES], n[TRUSTMAP_SILENT],
		    n[TRUSTMAP_AROUND], n[TRUSTMAP_TRUSTS]);
}

void
doctor_roads(struct doctor *d)
{
	const struct conf *c = d->ramp.conf;
	bool transparent = false;

	for (size_t i = 0; i < c->nlisteners; i++) {
		transparent |= c->listeners[i].kind == CONF_TRANSPARENT;
		if (c->listeners[i].kind == CONF_STDIO)
			look_at_folder(d, c->listeners[i].address);
	}
	if (transparent)
		look_at_fence(d);
	look_at_clients(d);
}
