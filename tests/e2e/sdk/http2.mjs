// node:http2 through CONNECT: calls at once on one session; prints the status
// and body of each. proxy host:port token ca path json...
import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import tls from "node:tls";

const [proxy, authority, token, ca, path, ...bodies] = process.argv.slice(2);
const [host, port] = proxy.split(":");
const auth = Buffer.from(`coder:${token}`).toString("base64");
const connect = http.request({
  host, port, method: "CONNECT", path: authority,
  headers: { host: authority, "proxy-authorization": `Basic ${auth}` },
});

function ask(session, body) {
  return new Promise((resolve, reject) => {
    const st = session.request({
      ":method": "POST", ":path": path, "content-type": "application/json",
      accept: "application/json, text/event-stream",
    });
    let status, text = "";
    st.on("response", (h) => { status = h[":status"]; });
    st.on("data", (d) => { text += d; });
    st.on("end", () => resolve({ status, text }));
    st.on("error", reject);
    st.end(body);
  });
}

connect.on("connect", (res, socket) => {
  const session = http2.connect(`https://${authority}`, {
    createConnection: () => tls.connect({
      socket, servername: authority.split(":")[0], ALPNProtocols: ["h2"],
      ca: fs.readFileSync(ca),
    }),
  });
  session.on("error", (e) => console.log(JSON.stringify({ error: e.message })));
  Promise.allSettled(bodies.map((b) => ask(session, b))).then((all) => {
    for (const a of all)
      console.log(JSON.stringify(a.value ?? { error: a.reason.message }));
    session.close();
  });
});
connect.end();
