/*
 * fuzz_connector - any bytes as a connector's YAML: an error that names the
 * place, or sections that load to a registry with the floors kept. The bytes
 * are also given to the reader of the section itself. The real rules are used,
 * so run it in the root of the tree.
 */
#include <sodium/crypto_hash_sha256.h>
#include <stdio.h>
#include <stdlib.h>

#include "connector.h"
#include "connector_builtin.h"
#include "pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct redact *rules;

static void
load_rules(void)
{
	struct err err = { 0 };
	struct buf b;

	buf_init(&b, 64u << 20);
	if (redact_compile("rules/redaction", &b, &err) == 0)
		rules = redact_load(buf_slice(&b), &err);
	if (rules == NULL) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	buf_free(&b);
}

/* A snapshot of these sections, in memory (snap.h gives its layout). */
static struct snap *
snapshot(struct buf *b, uint32_t count, struct slice sections)
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	struct err err = { 0 };

	buf_reset(b);
	crypto_hash_sha256(hash, (const unsigned char *)sections.p,
	    sections.n);
	pack_bytes(b, "PRSNAP01", 8);
	pack_u32(b, count);
	pack_u32(b, 0);
	pack_bytes(b, hash, sizeof(hash));
	pack_bytes(b, sections.p, sections.n);
	return snap_parse(buf_slice(b), &err);
}

static void
use(const struct connector *c)
{
	ASSERT(c->name[0] != '\0' || c->nhosts > 0);
	(void)connector_allows_agent(c, "coder");
	(void)connector_tool(c, SLICE("echo"));
	(void)connector_operation(c, SLICE("HEAD"), SLICE("/v1/a"));
	if (c->off_results != NULL) {
		struct buf b;

		buf_init(&b, 65536);
		redact_off_secrets(rules, c->off_results, &b);
		ASSERT(!b.full);
		buf_free(&b);
	}
	if (c->builtin != NULL) {
		(void)connector_context_bad(c->builtin, SLICE("managed"),
		    SLICE(""));
		for (int k = 0; k < CONF_CLASSES; k++)
			ASSERT(connector_raised(c->builtin, SLICE("shell"),
			    SLICE("unmanaged"), SLICE("production"),
			    (enum conf_class)k) <= (enum conf_class)k);
	}
	for (size_t i = 0; i < c->noperations; i++)
		(void)connector_path_match(c->operations[i].path,
		    slice_str(c->operations[i].path));
}

static void
check_compiled(const struct connector_set *set)
{
	const struct connector *c = &set->v[0];

	ASSERT(set->n == 1 && c->nagents > 0);
	ASSERT((c->nhosts > 0) == (c->stdio == NULL && c->builtin == NULL));
	ASSERT((c->builtin != NULL) == (c->kind == CONNECTOR_BUILTIN));
	ASSERT(connector_named(set, slice_str(c->name)) == c);
	if (c->nhosts > 0)
		ASSERT(connector_at(set, c->hosts[0].host, c->hosts[0].port,
		    slice_str(c->path)) == c);
	else if (c->stdio != NULL)
		ASSERT(c->stdio->command.n > 0 && c->kind == CONNECTOR_MCP);
	for (size_t i = 0; i < c->noperations; i++) {
		const struct connector_operation *o = &c->operations[i];

		ASSERT(o->path[0] == '/' && o->name[0] != '\0');
		if (strcmp(o->method, "DELETE") == 0)
			ASSERT(o->tool.klass <= CONF_DANGEROUS);
		else if (strcmp(o->method, "POST") == 0)
			ASSERT(o->tool.klass <= CONF_MODERATE);
	}
}

static void
try_yaml(struct slice text)
{
	struct conf conf = { 0 };
	struct snap_writer w;
	struct err err = { 0 };
	struct buf b;

	snap_writer_init(&w);
	if (connector_parse(&conf, rules, "c.yaml", text, &w, &err) != 0) {
		ASSERT(err.set);
		ASSERT(strncmp(err.text, "c.yaml", 6) == 0);
		snap_writer_free(&w);
		return;
	}
	ASSERT(!err.set);
	buf_init(&b, 8 << 20);
	struct snap *s = snapshot(&b, w.count, buf_slice(&w.body));

	ASSERT(s != NULL);
	struct connector_set *set = connector_load(s);

	ASSERT(set != NULL);
	check_compiled(set);
	use(&set->v[0]);
	connector_set_free(set);
	snap_close(s);
	buf_free(&b);
	snap_writer_free(&w);
}

static void
try_section(struct slice bytes)
{
	struct buf sections, b;

	buf_init(&sections, bytes.n + 100);
	buf_init(&b, bytes.n + 200);
	pack_str(&sections, "connectors");
	pack_slice(&sections, bytes);
	struct snap *s = snapshot(&b, 1, buf_slice(&sections));

	ASSERT(s != NULL);
	struct connector_set *set = connector_load(s);

	for (size_t i = 0; set != NULL && i < set->n; i++)
		use(&set->v[i]);
	connector_set_free(set);
	snap_close(s);
	buf_free(&b);
	buf_free(&sections);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n > 1 << 20)
		return 0;
	if (rules == NULL)
		load_rules();
	try_yaml(slice_make(data, n));
	try_section(slice_make(data, n));
	return 0;
}
