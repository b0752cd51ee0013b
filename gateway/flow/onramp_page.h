/*
 * onramp_page - the pages a client may read without a token: how to come through
 * this proxy. Text only, no script, nothing from elsewhere, nothing secret.
 *
 * The lines of each runtime work in a shell that did those of the top, on any
 * machine: they need no program of ours. (tests/e2e runs them as they stand.)
 *
 * In ONRAMP_PAGE stand %1 for the proxy's address, %3 and %4 for its host and
 * port, and %2 for the SHA-256 of the CA; all are our own bytes, never the
 * client's.
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
	"<h2>First</h2>\n<p>Every call needs a task token. An operator mints it" \
	" with <code>portreeve session open --user U --agent A --for 1h</code>." \
	"</p>\n<pre>" \
	"export PORTREEVE_TOKEN='the token'\n" \
	"export PORTREEVE_CA=\"$HOME/portreeve-ca.pem\"\n" \
	"export PORTREEVE_PROXY=\"http://agent:$PORTREEVE_TOKEN@%1\"\n" \
	"curl --noproxy '*' -sS -o \"$PORTREEVE_CA\"" \
	" http://%1/portreeve/ca.pem\n" \
	"openssl x509 -in \"$PORTREEVE_CA\" -noout -fingerprint -sha256" \
	"</pre>\n" \
	"<h2>By runtime, and how to try</h2>\n" \
	"<p>The last line of each is a live test: it asks for a host that only" \
	" this proxy knows, and gets an answer when the client uses the proxy" \
	" and trusts its CA. Where these variables name our CA alone, the" \
	" client trusts nothing else: add the system's roots to the file for" \
	" hosts that do not go through here.</p>\n" \
	"<p>This browser: set the proxy, or proxy.pac, and import ca.crt; then" \
	" <a href=\"" ONRAMP_URL "\">test it</a>.</p>\n" \
	ONRAMP_CODE("curl", \
	    "export https_proxy=\"$PORTREEVE_PROXY\"" \
	    " http_proxy=\"$PORTREEVE_PROXY\" no_proxy=\n" \
	    "export CURL_CA_BUNDLE=\"$PORTREEVE_CA\"\n" \
	    "curl -sS " ONRAMP_URL) \
	ONRAMP_CODE("git", \
	    "export https_proxy=\"$PORTREEVE_PROXY\" no_proxy=\n" \
	    "export GIT_SSL_CAINFO=\"$PORTREEVE_CA\"\n" \
	    "git ls-remote " ONRAMP_URL "git   # prints refs/heads/trusted") \
	ONRAMP_CODE("Node 24 and newer", \
	    "export NODE_USE_ENV_PROXY=1 HTTPS_PROXY=\"$PORTREEVE_PROXY\"" \
	    " HTTP_PROXY=\"$PORTREEVE_PROXY\" NO_PROXY=\n" \
	    "export NODE_EXTRA_CA_CERTS=\"$PORTREEVE_CA\"\n" \
	    "node -e \"fetch('" ONRAMP_URL "').then(r =&gt; r.text())" \
	    ".then(console.log)\"") \
	ONRAMP_CODE("Python", \
	    "export HTTPS_PROXY=\"$PORTREEVE_PROXY\"" \
	    " HTTP_PROXY=\"$PORTREEVE_PROXY\" NO_PROXY=\n" \
	    "export SSL_CERT_FILE=\"$PORTREEVE_CA\"" \
	    " REQUESTS_CA_BUNDLE=\"$PORTREEVE_CA\"\n" \
	    "python3 -c \"import urllib.request as u; print(u.urlopen('" \
	    ONRAMP_URL "').read().decode())\"") \
	ONRAMP_CODE("Java", \
	    "keytool -importcert -noprompt -alias portreeve -file" \
	    " \"$PORTREEVE_CA\" -keystore \"$HOME/portreeve.p12\"" \
	    " -storepass changeit\n" \
	    "export JAVA_TOOL_OPTIONS=\"-Dhttps.proxyHost=%3" \
	    " -Dhttps.proxyPort=%4 -Dhttp.proxyHost=%3 -Dhttp.proxyPort=%4" \
	    " -Dhttp.nonProxyHosts= -Djdk.http.auth.tunneling.disabledSchemes=" \
	    " -Djavax.net.ssl.trustStore=$HOME/portreeve.p12" \
	    " -Djavax.net.ssl.trustStorePassword=changeit\"\n" \
	    "# the program sets an Authenticator (user agent, password the" \
	    " token) and asks for " ONRAMP_URL) \
	ONRAMP_CODE("Go", \
	    "export HTTPS_PROXY=\"$PORTREEVE_PROXY\"" \
	    " HTTP_PROXY=\"$PORTREEVE_PROXY\" NO_PROXY=\n" \
	    "export SSL_CERT_FILE=\"$PORTREEVE_CA\"\n" \
	    "# http.Get(\"" ONRAMP_URL "\")") \
	ONRAMP_CODE("The whole system (Debian)", \
	    "sudo cp \"$PORTREEVE_CA\"" \
	    " /usr/local/share/ca-certificates/portreeve.crt &amp;&amp;" \
	    " sudo update-ca-certificates") \
	"<p>On the gateway's machine: one command with all of it is" \
	" <code>portreeve run -- CMD</code>; what is wrong, <code>portreeve" \
	" doctor</code>; who does not trust the CA, <code>portreeve client" \
	" trust</code>.</p>\n" \
	"</body>\n</html>\n"

#endif
