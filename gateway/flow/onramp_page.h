/*
 * onramp_page - the pages a client may read without a token: how to come through
 * this proxy. Text only, no script, nothing from elsewhere, nothing secret.
 *
 * In ONRAMP_PAGE stand %1 for the proxy's address and %2 for the SHA-256 of
 * the CA; both are our own bytes, never the client's.
 */
#ifndef ONRAMP_PAGE_H
#define ONRAMP_PAGE_H

#define ONRAMP_STYLE \
	"body{font:1rem/1.5 sans-serif;max-width:46rem;margin:2rem auto;" \
	"padding:0 1rem;color:#1a1a1a;background:#fff}" \
	"pre{background:#f2f2f2;padding:.6rem;overflow-x:auto}" \
	"code{overflow-wrap:anywhere}\n"

#define ONRAMP_CODE(title, lines) \
	"<h3>" title "</h3>\n<pre>" lines "</pre>\n"

#define ONRAMP_URL "https://trust.portreeve.internal/"
#define ONRAMP_ENV(runtime) \
	"eval \"$(portreeve proxy env --for " runtime ")\"\n"

#define ONRAMP_PAGE \
	"<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n" \
	"<meta name=\"viewport\" content=\"width=device-width\">\n" \
	"<title>Portreeve: how to get through</title>\n" \
	"<link rel=\"stylesheet\" href=\"/portreeve/style.css\">\n" \
	"</head>\n<body>\n<h1>Portreeve</h1>\n" \
	"<p>Agents reach their tools through the proxy <code>%1</code>. It" \
	" opens TLS to the hosts of its catalogue, so a client must trust its" \
	" CA. That CA is limited to these hosts: it cannot vouch for any" \
	" other.</p>\n" \
	"<ul>\n<li><a href=\"/portreeve/ca.pem\">ca.pem</a> (PEM)," \
	" <a href=\"/portreeve/ca.crt\">ca.crt</a> (DER)</li>\n" \
	"<li><a href=\"/portreeve/proxy.pac\">proxy.pac</a>: the catalogue's" \
	" hosts through the proxy</li>\n</ul>\n" \
	"<p>SHA-256 of the CA, to be compared with what your administrator" \
	" says:<br><code>%2</code></p>\n" \
	"<h2>A token</h2>\n<p>Every call needs a task token. An operator mints" \
	" it with <code>portreeve session open --user U --agent A --for 1h" \
	"</code>; put it into <code>PORTREEVE_TOKEN</code>.</p>\n" \
	"<h2>By runtime, and how to try</h2>\n" \
	"<p>The test asks for a host that only this proxy knows. It answers" \
	" when the client uses the proxy and trusts its CA.</p>\n" \
	ONRAMP_CODE("curl", ONRAMP_ENV("curl") "curl " ONRAMP_URL) \
	ONRAMP_CODE("git", ONRAMP_ENV("git") "git ls-remote " ONRAMP_URL \
	    "git   # prints refs/heads/trusted") \
	ONRAMP_CODE("Node 24 and newer", ONRAMP_ENV("node") \
	    "node -e \"fetch('" ONRAMP_URL "').then(r =&gt; r.text())" \
	    ".then(console.log)\"") \
	ONRAMP_CODE("Python", ONRAMP_ENV("python") \
	    "python3 -c \"import urllib.request as u; print(u.urlopen('" \
	    ONRAMP_URL "').read().decode())\"") \
	ONRAMP_CODE("Java", ONRAMP_ENV("java") \
	    "# the program sets an Authenticator: user agent, password the" \
	    " token") \
	ONRAMP_CODE("Go", ONRAMP_ENV("go") \
	    "# http.Get(\"" ONRAMP_URL "\")") \
	"<p>All at once, for one command: <code>portreeve run -- CMD</code>." \
	" What is wrong: <code>portreeve doctor</code>.</p>\n" \
	"</body>\n</html>\n"

#endif
