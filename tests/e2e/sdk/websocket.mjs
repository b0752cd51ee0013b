// Node's own WebSocket (undici) on a mount: sends each argument, prints what
// comes back, then how it was closed.
const [url, token, ...messages] = process.argv.slice(2);
const ws = new WebSocket(url, {
  headers: { authorization: `Bearer ${token}` },
});

ws.addEventListener("open", () => ws.send(messages.shift()));
ws.addEventListener("message", (e) => {
  console.log("MESSAGE", e.data);
  if (messages.length > 0) ws.send(messages.shift());
  else ws.close(1000);
});
ws.addEventListener("error", (e) => console.log("ERROR", e.message));
ws.addEventListener("close", (e) => console.log("CLOSE", e.code, e.reason));
