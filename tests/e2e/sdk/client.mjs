// The official TypeScript SDK's client, driven by JSON lines: a request {n,
// do, ...} on standard input, {n, event} and at last {n, ok} or {n, error} on
// standard output.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from
  "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from
  "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { StdioClientTransport } from
  "@modelcontextprotocol/sdk/client/stdio.js";
import { LoggingMessageNotificationSchema, ToolListChangedNotificationSchema }
  from "@modelcontextprotocol/sdk/types.js";
import readline from "node:readline";

let client, transport;
const aborts = new Map();
const say = (o) => process.stdout.write(JSON.stringify(o) + "\n");

const actions = {
  async connect({ n, url, headers, sse, stdio }) {
    client = new Client({ name: "test", version: "1" });
    client.onerror = (e) => say({ n: 0, event: "onerror", text: String(e) });
    client.setNotificationHandler(LoggingMessageNotificationSchema, (m) =>
      say({ n: 0, event: "log", text: String(m.params.data) }));
    client.setNotificationHandler(ToolListChangedNotificationSchema, () =>
      say({ n: 0, event: "changed" }));
    const kind = sse ? SSEClientTransport : StreamableHTTPClientTransport;
    transport = stdio ? new StdioClientTransport(stdio) :
      new kind(new URL(url), { requestInit: { headers } });
    await client.connect(transport);
    return { server: client.getServerVersion().name,
      version: transport.protocolVersion ?? null };
  },
  async list() {
    return (await client.listTools()).tools.map((t) => t.name);
  },
  async call({ n, name, args, progress, timeout }) {
    const abort = new AbortController();
    aborts.set(n, abort);
    const options = { signal: abort.signal, timeout: timeout ?? 60000,
      resetTimeoutOnProgress: true };
    if (progress)
      options.onprogress = (p) => say({ n, event: "progress", ...p });
    return client.callTool({ name, arguments: args }, undefined, options);
  },
  async cancel({ of }) {
    aborts.get(of).abort("the user changed his mind");
    return {};
  },
  async close() {
    await transport.terminateSession?.();
    await client.close();
    return {};
  },
};

const lines = readline.createInterface({ input: process.stdin });
lines.on("line", async (line) => {
  const r = JSON.parse(line);
  try {
    say({ n: r.n, ok: await actions[r.do](r) });
  } catch (e) {
    say({ n: r.n, error: { code: e.code ?? null, message: String(e),
      data: e.data ?? null, cause: e.cause ? String(e.cause) : null } });
  }
});
lines.on("close", () => process.exit(0));
