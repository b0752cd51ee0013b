import io.modelcontextprotocol.client.McpAsyncClient;
import io.modelcontextprotocol.client.McpClient;
import io.modelcontextprotocol.client.transport.HttpClientStreamableHttpTransport;
import io.modelcontextprotocol.json.McpJsonDefaults;
import io.modelcontextprotocol.json.McpJsonMapper;
import io.modelcontextprotocol.spec.McpError;
import io.modelcontextprotocol.spec.McpSchema;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.Authenticator;
import java.net.PasswordAuthentication;
import java.net.http.HttpRequest;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import reactor.core.publisher.Mono;

/** The official Java SDK's client, driven by JSON lines: a request {n, do, ...}
 * on standard input, {n, event} and at last {n, ok} or {n, error} on standard
 * output. Proxy and trust come from JAVA_TOOL_OPTIONS; the proxy's password is
 * the one thing that no option of the JDK can give. */
class Client {
    static final McpJsonMapper json = McpJsonDefaults.getMapper();
    static McpAsyncClient client;

    static synchronized void say(Map<String, Object> o) {
        try {
            System.out.println(json.writeValueAsString(o));
        } catch (java.io.IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    static Map<String, Object> map(Object... pairs) {
        Map<String, Object> m = new HashMap<>();
        for (int i = 0; i < pairs.length; i += 2)
            m.put((String) pairs[i], pairs[i + 1]);
        return m;
    }

    static Mono<?> connect(Map<String, Object> r) {
        HttpRequest.Builder request = HttpRequest.newBuilder();
        ((Map<?, ?>) r.get("headers")).forEach((k, v) ->
            request.header((String) k, (String) v));
        String url = (String) r.get("url");
        int path = url.indexOf('/', url.indexOf("//") + 2);
        var transport = HttpClientStreamableHttpTransport
            .builder(url.substring(0, path)).endpoint(url.substring(path))
            .requestBuilder(request).openConnectionOnStartup(false);
        String token = System.getenv("PORTREEVE_TOKEN");
        if (token != null)
            transport.customizeClient(b -> b.authenticator(new Authenticator() {
                @Override
                protected PasswordAuthentication getPasswordAuthentication() {
                    return new PasswordAuthentication("agent",
                        token.toCharArray());
                }
            }));
        client = McpClient.async(transport.build())
            .requestTimeout(Duration.ofSeconds(90))
            .initializationTimeout(Duration.ofSeconds(40))
            .loggingConsumer(m -> Mono.fromRunnable(() -> say(map("n", 0,
                "event", "log", "text", m.data()))))
            .progressConsumer(m -> Mono.fromRunnable(() -> say(map("n",
                m.progressToken(), "event", "progress", "progress",
                m.progress(), "total", m.total(), "message", m.message()))))
            .build();
        return client.initialize().map(i -> map("server",
            i.serverInfo().name(), "version", i.protocolVersion()));
    }

    @SuppressWarnings("unchecked")
    static Mono<?> call(Map<String, Object> r) {
        var request = McpSchema.CallToolRequest
            .builder((String) r.get("name"))
            .arguments((Map<String, Object>) r.get("args"));
        if (Boolean.TRUE.equals(r.get("progress")))
            request.progressToken(r.get("n"));
        return client.callTool(request.build());
    }

    static Mono<?> act(Map<String, Object> r) {
        switch ((String) r.get("do")) {
        case "connect":
            return connect(r);
        case "list":
            return client.listTools().map(l -> l.tools().stream()
                .map(McpSchema.Tool::name).toList());
        case "call":
            return call(r);
        case "close":
            return client.closeGracefully().thenReturn(map());
        default:
            return Mono.error(new IllegalArgumentException("do"));
        }
    }

    static Map<String, Object> error(Throwable e) {
        Map<String, Object> o = map("message", String.valueOf(e), "cause",
            String.valueOf(e.getCause()));
        if (e instanceof McpError m && m.getJsonRpcError() != null) {
            o.put("code", m.getJsonRpcError().code());
            o.put("data", m.getJsonRpcError().data());
        }
        return o;
    }

    @SuppressWarnings("unchecked")
    public static void main(String[] args) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null;) {
            Map<String, Object> r = json.readValue(line, Map.class);
            act(r).subscribe(ok -> say(map("n", r.get("n"), "ok", ok)),
                e -> say(map("n", r.get("n"), "error", error(e))));
        }
        System.exit(0);
    }
}
