// Version 2 of the official TypeScript SDK's client, driven like client.mjs.
// What a server asks of it is said as an event and answered as `answers` says.
import { Client, StreamableHTTPClientTransport } from
  "@modelcontextprotocol/client";
import readline from "node:readline";

let client, answers = {};
const aborts = new Map();
const say = (o) => process.stdout.write(JSON.stringify(o) + "\n");

const actions = {
  async connect({ url, headers, mode }) {
    client = new Client({ name: "test", version: "2" }, {
      capabilities: { sampling: {}, roots: {}, elicitation: { form: {},
        url: {} } }, versionNegotiation: { mode } });
    for (const method of ["elicitation/create", "sampling/createMessage",
      "roots/list"])
      client.setRequestHandler(method, async (r) => {
        say({ n: 0, event: "asked", method, params: r.params ?? {} });
        return answers[method];
      });
    client.onerror = (e) => say({ n: 0, event: "onerror", text: String(e) });
    const transport = new StreamableHTTPClientTransport(new URL(url),
      { requestInit: { headers } });
    await client.connect(transport);
    return { version: client.getNegotiatedProtocolVersion() };
  },
  async answer(a) {
    answers = a.with;
    return {};
  },
  async list() {
    return (await client.listTools()).tools.map((t) => t.name);
  },
  async call({ n, name, args, progress }) {
    const abort = new AbortController();
    aborts.set(n, abort);
    const options = { signal: abort.signal, timeout: 60000,
      resetTimeoutOnProgress: true };
    if (progress)
      options.onprogress = (p) => say({ n, event: "progress", ...p });
    return client.callTool({ name, arguments: args }, options);
  },
  async cancel({ of }) {
    aborts.get(of).abort("the user changed his mind");
    return {};
  },
  async close() {
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
    say({ n: r.n, error: { code: e.code ?? null, message: String(e) } });
  }
});
lines.on("close", () => process.exit(0));
