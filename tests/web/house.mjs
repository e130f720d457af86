// A Herma of one's own with a server behind it, agents that call, and a person with a browser.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const need = createRequire(`${process.env.HERMA_TEST_PACKAGES}/`);
const { chromium } = need("playwright-core");
export const axe = readFileSync(need.resolve("axe-core/axe.min.js"), "utf8");

const HERMA = process.env.HERMA_TEST_BINARY;
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];
const TOOLS = ["send_message", "run_command", "edit_file", "http_post", "set_note", "read_note"];

/** Everything waits for a person, whatever else would have been said of it. */
export const GATED = `
[[rule]]
id = "gated"
tool = "*"
route = "gate"
reason = "a person looks at everything here"
`;

export async function soon(what, look, limit = 60_000) {
  const end = Date.now() + limit;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < end, `${what} did not come`);
    await new Promise((go) => setTimeout(go, 25));
  }
}

/** The server that agents mean to reach; it remembers what really arrived. */
async function upstream() {
  const ran = [], harbour = { ran, says: (name) => `Does ${name}.` };
  const schema = { type: "object", additionalProperties: true };
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const asked = body ? JSON.parse(body) : {};
    if (asked.id === undefined) return response.writeHead(202).end();
    let result = {};
    if (asked.method === "initialize") {
      response.setHeader("mcp-session-id", randomUUID().slice(0, 8));
      result = { protocolVersion: asked.params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "harbour", version: "1" } };
    } else if (asked.method === "tools/list") {
      result = { tools: TOOLS.map((name) => ({ name, description: harbour.says(name), inputSchema: schema })) };
    } else if (asked.method === "tools/call") {
      ran.push({ tool: asked.params.name, arguments: asked.params.arguments });
      result = { content: [{ type: "text", text: "done" }] };
    }
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ jsonrpc: "2.0", id: asked.id, result }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(harbour, { server, url: `http://127.0.0.1:${server.address().port}/mcp` });
}

/** One agent, as its client speaks. */
class Agent {
  #url; #headers; #ids = 0; #open = new AbortController();

  static async begin(url, name = "hermes-agent") {
    const agent = new Agent();
    agent.#url = url;
    agent.#headers = { "content-type": "application/json", accept: "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18" };
    const { headers } = await agent.#post("initialize", { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name, version: "0.19.0" } });
    const session = headers.get("mcp-session-id");
    if (session) agent.#headers["mcp-session-id"] = session;
    await fetch(url, { method: "POST", headers: agent.#headers, body: JSON.stringify({ jsonrpc: "2.0", method: "notifications/initialized" }) });
    await agent.#post("tools/list", {});
    return agent;
  }

  async #post(method, params) {
    const id = ++this.#ids;
    const body = JSON.stringify({ jsonrpc: "2.0", id, method, params });
    const response = await fetch(this.#url, { method: "POST", headers: this.#headers, body, signal: AbortSignal.any([this.#open.signal, AbortSignal.timeout(170_000)]) });
    let text = "";
    for await (const part of response.body.pipeThrough(new TextDecoderStream())) text += part;
    const frames = response.headers.get("content-type")?.startsWith("text/event-stream")
      ? text.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).filter(Boolean)
      : [text];
    const answer = frames.map((frame) => JSON.parse(frame)).find((frame) => frame.id === id);
    assert.ok(answer, `${method}: ${response.status} ${text}`);
    return { ...answer, headers: response.headers };
  }

  /** Resolves when the call has an end, however long somebody thinks about it. */
  async call(name, args) {
    const { result, error } = await this.#post("tools/call", { name, arguments: args });
    return JSON.stringify(result ?? error);
  }

  leave() {
    this.#open.abort();
  }
}

/** One agent whose client starts its server itself, behind `herma wrap`. */
class Wrapped {
  #process; #ids = 0; #waiting = new Map();

  static async begin(name, dir, command) {
    const agent = new Wrapped();
    agent.#process = spawn(HERMA, ["wrap", "--name", name, "--data-dir", dir, "--", ...command], { stdio: ["pipe", "pipe", "ignore"] });
    createInterface({ input: agent.#process.stdout }).on("line", (line) => {
      const frame = JSON.parse(line);
      agent.#waiting.get(frame.id)?.(frame);
    });
    await agent.#ask("initialize", { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "claude-code", version: "2" } });
    agent.#send({ method: "notifications/initialized" });
    await agent.#ask("tools/list", {});
    return agent;
  }

  #send(frame) {
    this.#process.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...frame })}\n`);
  }

  #ask(method, params) {
    const id = ++this.#ids;
    const answer = new Promise((done) => this.#waiting.set(id, done));
    this.#send({ id, method, params });
    return answer;
  }

  async call(name, args) {
    const { result, error } = await this.#ask("tools/call", { name, arguments: args });
    return JSON.stringify(result ?? error);
  }

  leave() {
    this.#process.kill("SIGTERM");
  }
}

export class House {
  log = "";
  requests = [];
  wrong = [];

  static async open({ config = GATED, top = () => "", viewport, colorScheme, touch = false, empty = false } = {}) {
    const house = new House();
    house.browser = await chromium.launch({ executablePath: process.env.HERMA_TEST_CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
    await house.person({ viewport, colorScheme, touch });
    // Scratch files are nobody's loss to Herma: a house for what is to be asked about stands elsewhere.
    house.dir = mkdtempSync(empty ? join(homedir(), ".herma-test-") : join(tmpdir(), "herma-web-"));
    if (!empty) await house.furnish(config, top(house.dir));
    return house;
  }

  async furnish(config, top) {
    const house = this;
    house.server = await upstream();
    house.agents = [];
    const file = join(house.dir, "herma.toml");
    writeFileSync(file, `${top}\n[listen]\nagent = "127.0.0.1:0"\n[operator]\nlisten = "127.0.0.1:0"\n[[server]]\nname = "harbour"\nurl = "${house.server.url}"\n${config}`);
    house.daemon = spawn(HERMA, ["serve", "--config", file, "--data-dir", house.dir], { stdio: ["ignore", "ignore", "pipe"] });
    house.daemon.stderr.on("data", (part) => { house.log += part; });
    const ready = await soon("the daemon", () => {
      assert.equal(house.daemon.exitCode, null, house.log);
      try { return JSON.parse(readFileSync(join(house.dir, "daemon.json"), "utf8")); } catch { return null; }
    });
    house.endpoint = `${ready.agent}/mcp/harbour`;
    house.url = (await house.cli("open", "--print")).trim();
  }

  /** A fresh browser of somebody. */
  async person({ viewport = { width: 1180, height: 860 }, colorScheme = "light", touch = false, scale = 1 } = {}) {
    this.context = await this.browser.newContext({ viewport, colorScheme, hasTouch: touch, deviceScaleFactor: scale, reducedMotion: "reduce" });
    this.context.on("request", (request) => this.requests.push(request.url()));
    this.context.on("dialog", (dialog) => { this.wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
    this.context.on("weberror", (error) => this.wrong.push(String(error.error())));
    this.context.on("console", (line) => { if (/Content Security Policy|TrustedHTML/.test(line.text())) this.wrong.push(line.text()); });
    this.page = await this.context.newPage();
    return this.page;
  }

  async cli(...args) {
    const { stdout } = await promisify(execFile)(HERMA, [...args, "--data-dir", this.dir]);
    return stdout;
  }

  async agent(name) {
    const agent = await Agent.begin(this.endpoint, name);
    this.agents.push(agent);
    return agent;
  }

  /** An agent of a real server from the packages. */
  async wrapped(name, program, ...more) {
    const agent = await Wrapped.begin(name, this.dir, [process.execPath, join(process.env.HERMA_TEST_PACKAGES, "node_modules/.bin", program), ...more]);
    this.agents.push(agent);
    return agent;
  }

  /** A call that waits: its id, and the promise of its end. */
  async held(agent, tool, args) {
    const before = new Set((await this.holds()).map((hold) => hold.id));
    const end = agent.call(tool, args);
    end.catch(() => {});
    const hold = await soon(`a hold for ${tool}`, async () => (await this.holds()).find((row) => !before.has(row.id)));
    return { id: hold.id, end };
  }

  async holds() {
    return JSON.parse(await this.cli("holds", "list", "--json"));
  }

  async hold(id) {
    return JSON.parse(await this.cli("holds", "show", id, "--json"));
  }

  /** From the door to the inbox, as a person does it. */
  async pair(name = "ada", page = this.page, code = undefined) {
    code ??= JSON.parse(await this.cli("pair", "--json")).code;
    await page.goto(this.url);
    await page.locator("[name=code]").focus();
    await page.keyboard.type(code);
    await page.keyboard.press("Tab");
    await page.keyboard.type(name);
    await page.keyboard.press("Enter");
    await page.waitForSelector("html[data-page=Inbox][data-live]");
  }

  async go(path, page = this.page) {
    for (let there = false; !there;) {
      // A page that is on its way to how things stand now gets ahead of us.
      there = await page.goto(new URL(path, this.url).href).catch((error) => {
        if (!/ERR_ABORTED|interrupted by another/.test(error.message)) throw error;
      });
    }
    await page.waitForSelector("html[data-ready][data-live]");
  }

  async said(text, page = this.page) {
    await page.locator("#said", { hasText: text }).waitFor();
  }

  /** No script of theirs ran, and nothing left for elsewhere. */
  untouched() {
    assert.deepEqual(this.wrong, []);
    const origin = new URL(this.url).origin;
    assert.deepEqual(this.requests.filter((url) => new URL(url).origin !== origin), []);
  }

  async close() {
    for (const agent of this.agents ?? []) agent.leave();
    await this.browser?.close();
    if (this.daemon?.exitCode === null) {
      this.daemon.kill("SIGTERM");
      await once(this.daemon, "exit");
    }
    this.server?.server.closeAllConnections();
    this.server?.server.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** What axe-core holds against the page that is open. */
export async function faults(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(" ")).slice(0, 4).join(", ")}`);
}
