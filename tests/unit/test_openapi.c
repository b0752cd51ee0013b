/* gateway/connector/openapi: what is proposed, what is refused and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "connector.h"
#include "openapi.h"

#define HEAD "openapi: 3.0.3\ninfo: { title: My Shop, version: 1.0.0 }\n" \
	"servers: [ { url: \"https://api.example.com/v1/\" } ]\n"
#define PATHS HEAD "paths:\n"

static struct buf out;
static char name[65], warnings[8192];
static struct err err;

static void
on_warn(void *ctx, const char *text)
{
	size_t n = strlen(warnings);

	(void)ctx;
	snprintf(warnings + n, sizeof(warnings) - n, "%s\n", text);
}

static int
import_with(const char *text, const char *given, const char *host)
{
	struct openapi_options o = { given, host };
	int r;

	buf_reset(&out);
	warnings[0] = '\0';
	memset(&err, 0, sizeof(err));
	r = openapi_import("d/api.yaml", slice_str(text), &o, &out, name,
	    on_warn, NULL, &err);
	buf_add_char(&out, '\0');
	if (r != 0)
		assert_true(err.set);
	return r;
}

static void
good(const char *text)
{
	if (import_with(text, NULL, NULL) != 0)
		fail_msg("%s", err.text);
}

static void
bad(const char *text, const char *where, const char *why)
{
	assert_int_equal(import_with(text, NULL, NULL), -1);
	if (strncmp(err.text, where, strlen(where)) != 0 ||
	    strstr(err.text, why) == NULL)
		fail_msg("%s", err.text);
}

static void
has(const char *part)
{
	if (strstr(buf_data(&out), part) == NULL)
		fail_msg("%s\nis not in\n%s", part, buf_data(&out));
}

static void
test_operations(void **st)
{
	(void)st;
	good(PATHS
	    "  /items/{id}:\n"
	    "    get: { operationId: getItem }\n"
	    "    delete: {}\n"
	    "  /items/export:\n"
	    "    get: { operationId: exportItems, deprecated: true }\n"
	    "    post: { operationId: purgeItems }\n"
	    "  x-note: { get: {} }\n");
	assert_string_equal(name, "my-shop");
	assert_string_equal(strstr(buf_data(&out), "name: my-shop"),
	    "name: my-shop\nkind: rest\nurl: \"https://api.example.com/v1/\"\n"
	    "owner: FILL-IN\npurpose: FILL-IN\napproved: false\n"
	    "agents: [FILL-IN]\noperations:\n"
	    "  - { name: \"exportItems\", method: GET, path: "
	    "\"/v1/items/export\", class: read-only }  # deprecated\n"
	    "  - { name: \"purgeItems\", method: POST, path: "
	    "\"/v1/items/export\", class: dangerous }\n"
	    "  - { name: \"delete_items_id\", method: DELETE, path: "
	    "\"/v1/items/{id}\", class: dangerous }\n"
	    "  - { name: \"getItem\", method: GET, path: "
	    "\"/v1/items/{id}\", class: read-only }\n");
	assert_string_equal(warnings, "");
}

static void
test_json(void **st)
{
	(void)st;
	good("{\"openapi\":\"3.1.0\",\n\t\"info\":{\"title\":\"\\ud83d\\ude00 "
	    "Caf\\u00e9 7\"},\n"
	    "\"servers\":[{\"url\":\"http://{h}.example:8080\","
	    "\"variables\":{\"h\":{\"default\":\"eu\"}}}],\n"
	    "\"paths\":{\"/a\":{\"post\":{\"operationId\":\"a b\"}}}}");
	assert_string_equal(name, "caf-7");
	has("url: \"http://eu.example:8080\"");
	has("{ name: \"a_b\", method: POST, path: \"/a\", class: moderate }");
	bad("{\"openapi\":\"3.1.0\",\n \"info\":}", "d/api.yaml:2:9", "");
}

static void
test_server(void **st)
{
	const char *none = "openapi: 3.1.1\ninfo: { title: x }\npaths: { /a: {"
	    " get: {} } }\n";

	(void)st;
	bad(none, "d/api.yaml:1:1", "--host");
	assert_int_equal(import_with(none, "given", "h.example:8443"), 0);
	assert_string_equal(name, "given");
	has("url: \"https://h.example:8443/\"");
	assert_int_equal(import_with(PATHS "  /a: { get: {} }\n", NULL,
	    "http://10.0.0.1"), 0);
	has("url: \"http://10.0.0.1/v1/\"");
	assert_int_equal(import_with(PATHS "  /a: { get: {} }\n", NULL,
	    "a b"), -1);
	assert_int_equal(import_with(none, "Bad Name", "h"), -1);
	bad("openapi: 3.0.0\ninfo: { title: x }\nservers: [ { url: "
	    "\"https://{x}.example\" } ]\npaths: { /a: { get: {} } }\n",
	    "d/api.yaml:3:", "{x}");
	bad("swagger: \"2.0\"\npaths: {}\n", "d/api.yaml:1:10", "Swagger");
	bad("openapi: 3.2.0\n", "d/api.yaml:1:10", "3.2.0");
	bad(HEAD "paths: {}\n", "d/api.yaml:4:8", "no operation");
}

static void
test_refs(void **st)
{
	(void)st;
	good(PATHS "  /a: { $ref: \"#/components/pathItems/x~1y\" }\n"
	    "components: { pathItems: { x/y: { get: { operationId: viaRef } } "
	    "} }\n");
	has("viaRef");
	bad(PATHS "  /a: { $ref: \"other.yaml#/a\" }\n", "d/api.yaml:5:15",
	    "inside this file");
	bad(PATHS "  /a: { $ref: \"#/none\" }\n", "d/api.yaml:5:15",
	    "not in this file");
	bad(PATHS "  /a: { $ref: \"#/paths/~1a\" }\n", "d/api.yaml:5:7",
	    "references");
}

static void
test_left_out(void **st)
{
	(void)st;
	good(PATHS "  /a: { get: {} }\n  /f/{n}.json: { get: {} }\n"
	    "  /q?x=1: { get: {} }\n  /two/{a}/{a}: { get: {} }\n"
	    "  /b/{x}: { post: {} }\n  /b/{y}: { post: { operationId: "
	    "wipe } }\n  /own: { servers: [], get: {} }\n"
	    "  /t: { trace: {} }\n");
	assert_non_null(strstr(warnings, "d/api.yaml:6:3: left out: "
	    "/f/{n}.json: a variable"));
	assert_non_null(strstr(warnings, "/q?x=1"));
	assert_non_null(strstr(warnings, "variable twice"));
	assert_non_null(strstr(warnings, "the same calls as"));
	assert_non_null(strstr(warnings, "servers of its own"));
	assert_non_null(strstr(warnings, "TRACE"));
	has("/v1/b/{");
	/* Of two for the same calls the stricter class stays. */
	has("class: dangerous");
}

static void
test_names(void **st)
{
	(void)st;
	good(PATHS "  /a: { get: { operationId: \"x\" }, put: { operationId: x"
	    " } }\n  /b: { get: { operationId: x_2 } }\n"
	    "  /c: { get: { operationId: \"\\\"},\\n\" } }\n");
	has("name: \"x\", method: GET");
	has("name: \"x_2\", method: PUT");
	has("name: \"x_2_2\"");
	has("name: \"get_c\"");
}

static void
class_is(const char *method, const char *op, const char *path,
    enum conf_class want)
{
	assert_int_equal(openapi_class(method, slice_str(op),
	    slice_str(path)), want);
}

static void
test_class(void **st)
{
	(void)st;
	class_is("GET", "getUser", "/users/{id}", CONF_READ_ONLY);
	class_is("HEAD", "x", "/x", CONF_READ_ONLY);
	class_is("GET", "listDeletedUsers", "/deleted", CONF_READ_ONLY);
	class_is("GET", "deleteUser", "/users", CONF_DANGEROUS);
	class_is("GET", "x", "/users/{id}/remove", CONF_DANGEROUS);
	class_is("GET", "SendMail", "/mail", CONF_MODERATE);
	class_is("GET", "getPayments", "/payments", CONF_READ_ONLY);
	class_is("POST", "createItem", "/items", CONF_MODERATE);
	class_is("POST", "createHTTPRefund", "/items", CONF_DANGEROUS);
	class_is("POST", "x", "/payments", CONF_DANGEROUS);
	class_is("POST", "x", "/things/{delete}", CONF_MODERATE);
	class_is("PATCH", "get", "/x", CONF_MODERATE);
	class_is("DELETE", "get", "/x", CONF_DANGEROUS);
}

/* The file compiles once a person has filled it in, and not before. */
static void
test_compiles(void **st)
{
	struct conf conf = { 0 };
	struct snap_writer w;
	struct err e = { 0 };
	char *text, *p;

	(void)st;
	good(PATHS "  /a/{b}: { get: {}, delete: {}, post: {} }\n");
	text = base_strdup(buf_data(&out));
	for (int i = 0; i < 3; i++) {
		snap_writer_init(&w);
		memset(&e, 0, sizeof(e));
		assert_int_equal(connector_parse(&conf, NULL, "x", slice_str(
		    text), &w, &e), -1);
		assert_non_null(strstr(e.text, "FILL-IN is still to be"));
		snap_writer_free(&w);
		p = strstr(text, "FILL-IN");
		memcpy(p, "someone", 7);
	}
	snap_writer_init(&w);
	memset(&e, 0, sizeof(e));
	if (connector_parse(&conf, NULL, "x", slice_str(text), &w, &e) != 0)
		fail_msg("%s\n%s", e.text, text);
	snap_writer_free(&w);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_server),
		cmocka_unit_test(test_refs),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_class),
		cmocka_unit_test(test_compiles),
	};
	int r;

	buf_init(&out, OPENAPI_OUT_MAX);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	buf_free(&out);
	return r;
}
