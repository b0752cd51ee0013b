// Node's own node:http2 client through a CONNECT tunnel, driven by JSON lines
// as client.mjs is: streams of one connection, whatever comes as events.
import http from "node:http";
import http2 from "node:http2";
import readline from "node:readline";
import tls from "node:tls";
import fs from "node:fs";

const { PROXY, TOKEN, CA } = process.env;
const say = (o) => process.stdout.write(JSON.stringify(o) + "\n");
const streams = new Map();
let session;

function tunnel(authority) {
  const [host, port] = PROXY.split(":");
  return new Promise((done, fail) => http.request({ host, port,
    method: "CONNECT", path: authority, headers: { Host: authority, "Proxy-Authorization":
      "Basic " + Buffer.from("coder:" + TOKEN).toString("base64") } })
    .on("connect", (answer, socket) => answer.statusCode === 200 ?
      done(socket) : fail(new Error(`CONNECT: ${answer.statusCode}`)))
    .on("error", fail).end());
}

const actions = {
  async connect({ authority }) {
    const secure = tls.connect({ socket: await tunnel(authority),
      servername: authority.split(":")[0], ALPNProtocols: ["h2"],
      ca: fs.readFileSync(CA) });
    await new Promise((ok, bad) => secure.on("secureConnect", ok)
      .on("error", bad));
    session = http2.connect(`https://${authority}`,
      { createConnection: () => secure });
    session.on("goaway", (code) => say({ n: 0, event: "goaway", code }));
    session.on("close", () => say({ n: 0, event: "closed" }));
    session.on("error", (e) => say({ n: 0, event: "error",
      text: String(e) }));
    await new Promise((ok) => session.once("remoteSettings", ok));
    return { alpn: session.alpnProtocol, streams:
      session.remoteSettings.maxConcurrentStreams };
  },
  post({ n, path, message }) {
    const body = Buffer.from(JSON.stringify(message));
    const s = session.request({ ":method": "POST", ":path": path,
      "content-type": "application/json", "content-length": body.length,
      accept: "application/json, text/event-stream" });
    streams.set(n, s);
    return new Promise((done, fail) => {
      let status, text = "";
      s.setEncoding("utf8");
      s.on("response", (h) => { status = h[":status"]; });
      s.on("data", (d) => { text += d; say({ n, event: "data", text: d }); });
      s.on("end", () => s.rstCode === 0 && done({ status, text }));
      s.on("error", fail);
      s.on("close", () => fail(new Error(`reset ${s.rstCode}`)));
      s.end(body);
    });
  },
  async cancel({ of }) {
    streams.get(of).close(http2.constants.NGHTTP2_CANCEL);
    return {};
  },
  ping() {
    return new Promise((ok, bad) => session.ping((e, ms) => e ? bad(e) :
      ok({ ms })));
  },
  async close() {
    await new Promise((ok) => session.close(ok));
    return {};
  },
};

const lines = readline.createInterface({ input: process.stdin });
lines.on("line", async (line) => {
  const r = JSON.parse(line);
  try {
    say({ n: r.n, ok: await actions[r.do](r) });
  } catch (e) {
    say({ n: r.n, error: { message: String(e) } });
  }
});
lines.on("close", () => process.exit(0));
