/*
 * openapi_class - which class a method and words propose: the method's floor,
 * and above it what words of the name and the path give away. Words only ever
 * raise, and a person looks at the result.
 */
#include "connector.h"
#include "openapi.h"

/* What these do is hard to undo, or moves money or rights. */
static const char *const dangerous[] = { "delete", "remove", "destroy",
	"purge", "drop", "wipe", "erase", "truncate", "revoke", "terminate",
	"shutdown", "kill", "reset", "transfer", "pay", "payout", "refund",
	"charge", "withdraw", "purchase", "buy", "grant", "execute", "exec",
	"deploy", "impersonate", "disable", "deactivate", "cancel",
	"rollback", "restore", "format", "uninstall", "ban", "suspend" };

/* Only behind a method that changes something: as nouns they are read too. */
static const char *const dangerous_nouns[] = { "payment", "payments",
	"transfers", "refunds", "charges", "payouts", "withdrawals",
	"permissions", "permission", "role", "roles", "admin", "admins",
	"password", "passwords", "key", "keys", "secrets", "credentials",
	"deployments", "command", "commands", "shell", "script", "scripts",
	"query", "sql", "eval" };

/* A GET that says one of these does more than to read. */
static const char *const changing[] = { "create", "add", "update", "set",
	"put", "post", "write", "send", "edit", "modify", "patch", "insert",
	"upload", "approve", "reject", "start", "stop", "enable", "invite",
	"move", "rename", "merge", "publish", "trigger", "import", "submit",
	"run", "confirm", "accept", "logout", "unsubscribe", "subscribe" };

struct words {
	struct slice rest;
	char text[32];
};

static bool
upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
letter(char c)
{
	return upper(c) || (c >= 'a' && c <= 'z');
}

/* The next word of "deleteUser", "delete_user", "DELETE-user", "deleteHTTP":
 * in lower case; longer ones are cut, so they are no word of ours. */
static bool
next_word(struct words *w)
{
	struct slice s = w->rest;
	size_t i = 0, n = 0;

	while (i < s.n && !letter(s.p[i]))
		i++;
	for (size_t from = i; i < s.n && letter(s.p[i]); i++) {
		bool begins = i > from && upper(s.p[i]) &&
		    (!upper(s.p[i - 1]) || (i + 1 < s.n && letter(s.p[i + 1])
		    && !upper(s.p[i + 1])));

		if (begins)
			break;
		if (n + 1 < sizeof(w->text))
			w->text[n++] = s.p[i] | 0x20;
	}
	w->text[n] = '\0';
	w->rest = slice_sub(s, i, SIZE_MAX);
	return n > 0;
}

static bool
is_among(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(word, list[i]) == 0)
			return true;
	return false;
}
#define AMONG(word, list) is_among(word, list, ARRAY_LEN(list))

static void
raise(enum conf_class *k, enum conf_class to)
{
	if (to < *k)
		*k = to;
}

/* reads: of something that should only read, the first word says what it
 * does and the others to what. */
static void
judge(struct slice text, bool reads, enum conf_class *k)
{
	struct words w = { .rest = text };

	for (bool first = true; next_word(&w); first = false) {
		if (reads && !first)
			break;
		if (AMONG(w.text, dangerous))
			raise(k, CONF_DANGEROUS);
		else if (reads && AMONG(w.text, changing))
			raise(k, CONF_MODERATE);
		else if (!reads && AMONG(w.text, dangerous_nouns))
			raise(k, CONF_DANGEROUS);
	}
}

enum conf_class
openapi_class(const char *method, struct slice name, struct slice path)
{
	enum conf_class k = connector_floor(method);
	bool reads = k == CONF_READ_ONLY;

	judge(name, reads, &k);
	while (path.p != NULL) {
		struct slice seg = slice_cut(&path, '/');

		if (seg.n > 0 && seg.p[0] != '{')
			judge(seg, reads, &k);
	}
	return k;
}
