// A server with the tools, resources and prompts that the MCP conformance
// suite asks for, on the official SDKs: sessions up to 2025-11-25 on version 1,
// 2026-07-28 on version 2, both on one endpoint of 127.0.0.1:PORT.
import { createServer } from "node:http";
import { randomUUID } from "node:crypto";
import * as v2 from "@modelcontextprotocol/server";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StreamableHTTPServerTransport } from
  "@modelcontextprotocol/sdk/server/streamableHttp.js";
import * as t from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
const SOUND = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";
const wait = (ms) => new Promise((go) => setTimeout(go, ms));
const text = (s) => ({ type: "text", text: s });
const says = (...content) => ({ content });
const form = (message, properties) => ({ message, requestedSchema: {
  type: "object", properties, required: Object.keys(properties) } });
const NAME = form("What is your name?", { name: { type: "string" } });
const OK = form("Go on?", { ok: { type: "boolean" } });
const prompt = (s) => ({ messages: [{ role: "user", content: text(s) }],
  maxTokens: 100 });
const CAPITAL = prompt("What is the capital of France?");

// What the server asks inside results; kind: the capability it needs.
const ASK = {
  elicitation: (params = NAME) => ({ method: "elicitation/create",
    params: { mode: "form", ...params } }),
  sampling: (params = CAPITAL) => ({ method: "sampling/createMessage",
    params }),
  roots: () => ({ method: "roots/list", params: {} }),
};
const ask = (inputRequests, requestState) => ({ resultType: "input_required",
  inputRequests, ...(requestState ? { requestState } : {}) });
const sealed = (o) => Buffer.from(JSON.stringify({ ...o, seal: "s" +
  JSON.stringify(o).length })).toString("base64url");
const unseal = (s) => {
  try {
    const { seal, ...o } = JSON.parse(Buffer.from(s, "base64url"));
    return seal === "s" + JSON.stringify(o).length ? o : null;
  } catch {
    return null;
  }
};
const need = (env, caps) => {
  const lacks = caps.filter((c) => env.caps?.[c] === undefined);
  if (lacks.length > 0)
    throw new v2.MissingRequiredClientCapabilityError({ requiredCapabilities:
      Object.fromEntries(lacks.map((c) => [c, {}])) });
};

const tools = {
  test_simple_text: () => says(text("This is a simple text.")),
  test_image_content: () => says({ type: "image", data: PIXEL,
    mimeType: "image/png" }),
  test_audio_content: () => says({ type: "audio", data: SOUND,
    mimeType: "audio/wav" }),
  test_embedded_resource: () => says({ type: "resource", resource: {
    uri: "test://embedded-resource", mimeType: "text/plain",
    text: "An embedded resource." } }),
  test_multiple_content_types: () => says(text("Several kinds:"),
    { type: "image", data: PIXEL, mimeType: "image/png" },
    { type: "resource", resource: { uri: "test://mixed-content-resource",
      mimeType: "application/json", text: '{"test":"data","value":123}' } }),
  async test_tool_with_logging(_, env) {
    for (const data of ["Tool execution started", "Tool processing data",
      "Tool execution completed"]) {
      await env.notify("notifications/message", { level: "info", data });
      await wait(50);
    }
    return says(text("logged"));
  },
  async test_tool_with_progress(_, env) {
    for (const progress of [0, 50, 100]) {
      if (env.token !== undefined)
        await env.notify("notifications/progress", { progressToken: env.token,
          progress, total: 100, message: `step ${progress}` });
      await wait(50);
    }
    return says(text(String(env.token)));
  },
  test_error_handling: () => ({ isError: true,
    ...says(text("This tool intentionally returns an error for testing")) }),
  async test_reconnection(_, env) {
    env.close?.();
    await wait(100);
    return says(text("after the stream was closed"));
  },
  async test_sampling(args, env) {
    const r = await env.request("sampling/createMessage",
      prompt(args.prompt));
    return says(text(`LLM response: ${r.content.text}`));
  },
  async test_elicitation(args, env) {
    const r = await env.request("elicitation/create", form(args.message,
      { username: { type: "string" }, email: { type: "string" } }));
    return says(text(`User response: ${r.action}, ${
      JSON.stringify(r.content)}`));
  },
  async test_elicitation_url(args, env) {
    const r = await env.request("elicitation/create", { mode: "url",
      elicitationId: "e1", message: "Open this", url: args.url });
    return says(text(`User response: ${r.action}`));
  },
  async test_roots(_, env) {
    return says(text(JSON.stringify(await env.request("roots/list", {}))));
  },
  async test_elicitation_sep1034_defaults(_, env) {
    const r = await env.request("elicitation/create", { message: "Defaults",
      requestedSchema: { type: "object", required: [], properties: {
        name: { type: "string", default: "John Doe" },
        age: { type: "integer", default: 30 },
        score: { type: "number", default: 95.5 },
        status: { type: "string", enum: ["active", "inactive", "pending"],
          default: "active" },
        verified: { type: "boolean", default: true } } } });
    return says(text(`Elicitation completed: ${JSON.stringify(r)}`));
  },
  async test_elicitation_sep1330_enums(_, env) {
    const titled = ["value1", "value2", "value3"].map((v, i) => ({ const: v,
      title: ["First Option", "Second Option", "Third Option"][i] }));
    const plain = ["option1", "option2", "option3"];
    const r = await env.request("elicitation/create", { message: "Enums",
      requestedSchema: { type: "object", required: [], properties: {
        untitledSingle: { type: "string", enum: plain },
        titledSingle: { type: "string", oneOf: titled },
        legacyEnum: { type: "string", enum: ["opt1", "opt2", "opt3"],
          enumNames: ["Option One", "Option Two", "Option Three"] },
        untitledMulti: { type: "array", items: { type: "string",
          enum: plain } },
        titledMulti: { type: "array", items: { anyOf: titled } } } } });
    return says(text(`Elicitation completed: ${JSON.stringify(r)}`));
  },
  async test_wait(_, env) {
    for (let i = 0; i < 600 && !env.signal.aborted; i++) {
      if (env.token !== undefined)
        await env.notify("notifications/progress", { progressToken: env.token,
          progress: i + 1 }).catch(() => {});
      await wait(100);
    }
    console.log("ABORTED", env.signal.aborted);
    return says(text("waited"));
  },
  test_ask: (args, env) => env.responses ? says(text(JSON.stringify(
    env.responses))) : ask({ it: args.ask }, "state-of-" + args.tag),
  json_schema_2020_12_tool: (args) => says(text(JSON.stringify(args))),
  test_custom_headers: (args) => says(text(JSON.stringify(args))),
  echo: (args) => says(text(JSON.stringify(args))),
  test_missing_capability(_, env) {
    need(env, ["sampling"]);
    return says(text("it has it"));
  },
  async test_streaming_elicitation(_, env) {
    if (env.token !== undefined)
      await env.notify("notifications/progress", { progressToken: env.token,
        progress: 1 });
    return ask({ user_name: ASK.elicitation() });
  },
  async test_logging_tool(_, env) {
    await env.log("info", "a line of the log");
    return says(text("logged"));
  },
  test_trigger_tool_change: () => (setTimeout(() =>
    modern.notify.toolsChanged(), 20), says(text("changed"))),
  test_trigger_prompt_change: () => (setTimeout(() =>
    modern.notify.promptsChanged(), 20), says(text("changed"))),
  test_input_required_result_elicitation(_, env) {
    const r = env.responses?.user_name;
    return r?.action === "accept" && typeof r.content?.name === "string" ?
      says(text(`Hello, ${r.content.name}!`)) :
      r?.action ? r.action === "accept" ?
        ask({ user_name: ASK.elicitation() }) : says(text("no name")) :
        ask({ user_name: ASK.elicitation() });
  },
  test_input_required_result_sampling: (_, env) =>
    env.responses?.capital_question ? says(text(
      `Sampling response: ${env.responses.capital_question.content.text}`)) :
      ask({ capital_question: ASK.sampling() }),
  test_input_required_result_list_roots: (_, env) =>
    env.responses?.client_roots ? says(text(`Roots: ${
      JSON.stringify(env.responses.client_roots.roots)}`)) :
      ask({ client_roots: ASK.roots() }),
  test_input_required_result_request_state: (_, env) =>
    env.responses?.confirm && unseal(env.state) ? says(text(
      "state-ok: the state came back")) :
      ask({ confirm: ASK.elicitation(OK) }, sealed({ n: 1 })),
  test_input_required_result_multiple_inputs: (_, env) =>
    env.responses?.user_name && env.responses.greeting &&
    env.responses.client_roots ? says(text("all three")) :
      ask({ user_name: ASK.elicitation(), greeting: ASK.sampling(prompt(
        "Write a greeting")), client_roots: ASK.roots() },
      sealed({ n: 3 })),
  test_input_required_result_multi_round(_, env) {
    const round = unseal(env.state)?.round ?? 0;
    if (round === 0 || (round === 1 && !env.responses?.step1))
      return ask({ step1: ASK.elicitation() }, sealed({ round: 1 }));
    if (round === 1)
      return ask({ step2: ASK.elicitation(form("Which colour?",
        { color: { type: "string" } })) }, sealed({ round: 2 }));
    return says(text("both rounds are done"));
  },
  test_input_required_result_tampered_state(_, env) {
    if (env.state === undefined)
      return ask({ confirm: ASK.elicitation(OK) }, sealed({ n: 1 }));
    if (!unseal(env.state))
      throw new v2.ProtocolError(-32602, "requestState was changed");
    return says(text("untouched"));
  },
  test_input_required_result_capabilities(_, env) {
    const want = {};
    if (env.caps?.sampling)
      want.capital_question = ASK.sampling();
    if (env.caps?.elicitation)
      want.user_name = ASK.elicitation();
    return Object.keys(want).length > 0 && !env.responses ? ask(want) :
      says(text("enough"));
  },
};

const STRING = (...names) => ({ type: "object", properties:
  Object.fromEntries(names.map((n) => [n, { type: "string" }])),
  required: names });
const schemas = {
  test_sampling: STRING("prompt"), test_elicitation: STRING("message"),
  test_elicitation_url: STRING("url"),
  test_custom_headers: { type: "object", properties: {
    region: { type: "string", "x-mcp-header": "Region" },
    priority: { type: "integer", "x-mcp-header": "Priority" },
    verbose: { type: "boolean", "x-mcp-header": "Verbose" },
    query: { type: "string" } } },
  json_schema_2020_12_tool: {
    $schema: "https://json-schema.org/draft/2020-12/schema", type: "object",
    $defs: { address: { $anchor: "addressDef", type: "object", properties: {
      street: { type: "string" }, city: { type: "string" } } } },
    properties: { name: { type: "string" }, address: {
      $ref: "#/$defs/address" }, contactMethod: { type: "string",
      enum: ["phone", "email"] }, phone: { type: "string" },
    email: { type: "string" } },
    allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
    if: { properties: { contactMethod: { const: "phone" } },
      required: ["contactMethod"] }, then: { required: ["phone"] },
    else: { required: ["email"] }, additionalProperties: false },
};
const LEGACY_ONLY = /sampling$|elicitation$|sep1|_url$|test_roots|reconnection|with_logging/;
const MODERN_ONLY = /input_required|missing_cap|test_ask|streaming_|logging_tool|trigger|custom_headers/;
const listed = (era) => Object.keys(tools).filter((n) => !(era === "modern" ?
  LEGACY_ONLY.test(n) && !/input_required|streaming/.test(n) :
  MODERN_ONLY.test(n))).map((name) => ({ name, description: `Tool ${name}`,
  inputSchema: schemas[name] ?? { type: "object", properties: {} } }));

const fixed = {
  "test://static-text": { mimeType: "text/plain",
    text: "This is the content of the static text resource." },
  "test://static-binary": { mimeType: "image/png", blob: PIXEL },
  "test://watched-resource": { mimeType: "text/plain", text: "watched" },
  "test://example-resource": { mimeType: "text/plain", text: "example" },
};
function read(uri) {
  const m = /^test:\/\/template\/([^/]+)\/data$/.exec(uri);
  if (fixed[uri])
    return { contents: [{ uri, ...fixed[uri] }] };
  if (m)
    return { contents: [{ uri, mimeType: "application/json",
      text: JSON.stringify({ id: m[1], data: `Data for ID: ${m[1]}` }) }] };
  throw Object.assign(new v2.ProtocolError(-32602, "Resource not found",
    { uri }));
}
const user = (content) => ({ messages: [{ role: "user", content }] });
const prompts = {
  test_simple_prompt: () => user(text("This is a simple prompt.")),
  test_prompt_with_arguments: (a) => user(text(
    `Prompt with arguments: arg1='${a.arg1}', arg2='${a.arg2}'`)),
  test_prompt_with_embedded_resource: (a) => ({ messages: [
    { role: "user", content: { type: "resource", resource: {
      uri: a.resourceUri, mimeType: "text/plain", text: "embedded" } } },
    { role: "user", content: text("Look at it.") }] }),
  test_prompt_with_image: () => ({ messages: [
    { role: "user", content: { type: "image", data: PIXEL,
      mimeType: "image/png" } },
    { role: "user", content: text("Look at it.") }] }),
  test_input_required_result_prompt: (_, env) => env.responses?.user_context ?
    user(text(`With ${JSON.stringify(env.responses.user_context)}`)) :
    ask({ user_context: ASK.elicitation() }),
};
const argsOf = { test_prompt_with_arguments: ["arg1", "arg2"],
  test_prompt_with_embedded_resource: ["resourceUri"] };
const lists = (era) => ({
  "tools/list": () => ({ tools: listed(era) }),
  "resources/list": () => ({ resources: Object.entries(fixed).map(([uri, r]) =>
    ({ uri, name: uri.slice(7), mimeType: r.mimeType })) }),
  "resources/templates/list": () => ({ resourceTemplates: [{ name: "template",
    uriTemplate: "test://template/{id}/data", mimeType: "application/json" }] }),
  "prompts/list": () => ({ prompts: Object.keys(prompts).filter((n) =>
    era === "modern" || !MODERN_ONLY.test(n)).map((name) => ({ name,
    description: `Prompt ${name}`, arguments: (argsOf[name] ?? []).map((n) =>
      ({ name: n, description: n, required: true })) })) }),
  "completion/complete": () => ({ completion: { values: ["paris", "park"],
    total: 2, hasMore: false } }),
});
const CAPS = { tools: { listChanged: true }, prompts: { listChanged: true },
  resources: { subscribe: true, listChanged: true }, completions: {},
  logging: {} };

async function callTool(name, args, env) {
  if (!tools[name])
    throw new v2.ProtocolError(-32602, `Unknown tool: ${name}`);
  return tools[name](args ?? {}, env);
}

// --- 2026-07-28 ---------------------------------------------------------------

const modern = v2.createMcpHandler(() => {
  const s = new v2.Server({ name: "suite", version: "1" },
    { capabilities: CAPS });
  const env = (ctx) => ({ token: ctx.mcpReq._meta?.progressToken,
    caps: ctx.mcpReq.envelope?.[
      "io.modelcontextprotocol/clientCapabilities"],
    responses: ctx.mcpReq.inputResponses, state: ctx.mcpReq.requestState(),
    signal: ctx.mcpReq.signal,
    log: (level, data) => ctx.mcpReq.log(level, data),
    notify: (method, params) => ctx.mcpReq.notify({ method, params }) });
  for (const [method, make] of Object.entries(lists("modern")))
    s.setRequestHandler(method, make);
  s.setRequestHandler("tools/call", (r, ctx) => callTool(r.params.name,
    r.params.arguments, env(ctx)));
  s.setRequestHandler("resources/read", (r) => read(r.params.uri));
  s.setRequestHandler("prompts/get", (r, ctx) => prompts[r.params.name](
    r.params.arguments ?? {}, env(ctx)));
  return s;
}, { legacy: "reject" });
const onModern = toNodeHandler(modern);

// --- up to 2025-11-25 ---------------------------------------------------------

const sessions = new Map();

function events() {
  const all = [];
  return {
    async storeEvent(stream, message) {
      all.push({ stream, message, id: `${stream}/${all.length}` });
      return all.at(-1).id;
    },
    async getStreamIdForEventId(id) {
      return all.find((e) => e.id === id)?.stream;
    },
    async replayEventsAfter(last, { send }) {
      const at = all.findIndex((e) => e.id === last);
      for (const e of all.slice(at + 1))
        if (e.stream === all[at].stream && e.message.jsonrpc)
          await send(e.id, e.message);
      return all[at].stream;
    },
  };
}

function legacyServer(transport) {
  const s = new Server({ name: "suite", version: "1" },
    { capabilities: CAPS });
  const any = z.object({}).passthrough();
  const env = (extra) => ({ signal: extra.signal, token: extra._meta?.progressToken,
    notify: (method, params) => extra.sendNotification({ method, params }),
    request: (method, params) => extra.sendRequest({ method, params }, any),
    close: () => transport.closeSSEStream(extra.requestId) });
  const made = lists("legacy");
  const on = (schema, f) => s.setRequestHandler(schema, f);
  on(t.ListToolsRequestSchema, made["tools/list"]);
  on(t.ListResourcesRequestSchema, made["resources/list"]);
  on(t.ListResourceTemplatesRequestSchema, made["resources/templates/list"]);
  on(t.ListPromptsRequestSchema, made["prompts/list"]);
  on(t.CompleteRequestSchema, made["completion/complete"]);
  on(t.CallToolRequestSchema, async (r, extra) => {
    try {
      return await callTool(r.params.name, r.params.arguments, env(extra));
    } catch (e) {
      return { isError: true, ...says(text(String(e.message))) };
    }
  });
  on(t.ReadResourceRequestSchema, (r) => read(r.params.uri));
  on(t.GetPromptRequestSchema, (r) => prompts[r.params.name](
    r.params.arguments ?? {}, {}));
  on(t.SubscribeRequestSchema, () => ({}));
  on(t.UnsubscribeRequestSchema, () => ({}));
  on(t.SetLevelRequestSchema, () => ({}));
  return s;
}

async function onLegacy(req, res, body) {
  const id = req.headers["mcp-session-id"];
  if (id && sessions.has(id))
    return sessions.get(id).handleRequest(req, res, body);
  if (id) {
    res.writeHead(404, { "Content-Type": "application/json" });
    return res.end('{"jsonrpc":"2.0","id":null,"error":{"code":-32001,' +
      '"message":"Session not found"}}');
  }
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID, eventStore: events(), retryInterval: 500,
    onsessioninitialized: (s) => sessions.set(s, transport),
    onsessionclosed: (s) => sessions.delete(s) });
  await legacyServer(transport).connect(transport);
  return transport.handleRequest(req, res, body);
}

// What the header fields of test_custom_headers must say.
function headersAgree(req, m) {
  for (const [name, p] of Object.entries(
    schemas.test_custom_headers.properties)) {
    const v = m.params.arguments?.[name];
    if (p["x-mcp-header"] === undefined)
      continue;
    let said = req.headers[`mcp-param-${p["x-mcp-header"].toLowerCase()}`];
    const coded = /^=\?base64\?(.*)\?=$/.exec(said ?? "");
    if (coded && Buffer.from(coded[1], "base64").toString("base64") !==
      coded[1])
      return false;
    if (coded)
      said = Buffer.from(coded[1], "base64").toString();
    if (said !== (v == null ? undefined : String(v)))
      return false;
  }
  return true;
}

const LOCAL = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

createServer(async (req, res) => {
  let body = "";
  for await (const chunk of req)
    body += chunk;
  const origin = req.headers.origin;
  if (!LOCAL.test(req.headers.host) ||
    (origin && !LOCAL.test(origin.replace(/^https?:\/\//, "")))) {
    res.writeHead(403, { "Content-Type": "application/json" });
    return res.end('{"jsonrpc":"2.0","id":null,"error":{"code":-32000,' +
      '"message":"Forbidden host or origin"}}');
  }
  let m;
  try {
    m = body ? JSON.parse(body) : undefined;
  } catch {
    m = undefined;
  }
  console.log("REQUEST", JSON.stringify({ method: req.method,
    headers: req.headers, body: m }));
  const said = req.headers["mcp-protocol-version"] ?? "";
  const inside = m?.params?._meta?.["io.modelcontextprotocol/protocolVersion"];
  if (m?.params?.name === "test_custom_headers" && !headersAgree(req, m)) {
    res.writeHead(400, { "Content-Type": "application/json" });
    return res.end(JSON.stringify({ jsonrpc: "2.0", id: m.id, error: {
      code: -32020, message: "Header mismatch" } }));
  }
  if (said >= "2026-07-28" || inside !== undefined || m?.method ===
    "server/discover")
    return onModern(req, res, m);
  return onLegacy(req, res, m);
}).listen(Number(process.env.PORT), "127.0.0.1", () =>
  console.log("listening"));
