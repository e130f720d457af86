// Pages that are not ours: what they can make the browser of somebody who is signed in do.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { GATED } from "./house.mjs";

export const plan = { config: GATED };

export default async function elsewhere(house) {
  const agent = await house.agent();
  const { id } = await house.held(agent, "send_message", { to: "robin@example.org", message: "See you at noon." });
  await house.pair();
  const { page } = house;
  const inbox = new URL(house.url);

  // The agent's own page, on another port of this machine.
  const seen = [];
  const server = createServer((request, response) => {
    seen.push(request.headers.cookie ?? "");
    const body = `<!doctype html><title>theirs</title><a href="${new URL(`/h/${id}`, inbox).href}">look</a>`;
    response.writeHead(200, { "content-type": "text/html" }).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();

  for (const host of ["localhost", "127.0.0.1", "herma.localhost"]) {
    await page.goto(`http://${host}:${port}/`);
    // What the signed-in browser sends on their behalf, and what they get to read of it.
    const tried = await page.evaluate(async ({ origin, hold }) => {
      const body = JSON.stringify({ what: "all", reason: "theirs" });
      const results = {};
      const attempt = async (name, path, init) => {
        try {
          const response = await fetch(origin + path, { credentials: "include", ...init });
          results[name] = response.type === "opaque" ? "unread" : `read ${response.status}`;
        } catch { results[name] = "stopped"; }
      };
      await attempt("json", "/op/v1/freeze", { method: "POST", headers: { "content-type": "application/json" }, body });
      await attempt("plain", "/op/v1/freeze", { method: "POST", mode: "no-cors", headers: { "content-type": "text/plain" }, body });
      await attempt("bare", "/op/v1/session/end", { method: "POST", mode: "no-cors", body: new Blob(["{}"]) });
      await attempt("read", "/op/v1/inbox", {});
      await attempt("image", `/h/${hold}`, { mode: "no-cors" });
      const form = document.createElement("form");
      Object.assign(form, { method: "post", action: `${origin}/op/v1/freeze`, enctype: "text/plain", target: "sink" });
      const sink = document.createElement("iframe");
      sink.name = "sink";
      document.body.append(sink, form);
      const loaded = new Promise((done) => sink.addEventListener("load", done, { once: true }));
      form.submit();
      await loaded;
      const framed = document.createElement("iframe");
      const shown = new Promise((done) => framed.addEventListener("load", done, { once: true }));
      framed.src = `${origin}/`;
      document.body.append(framed);
      await shown;
      try { results.frame = framed.contentDocument?.title ?? "closed"; } catch { results.frame = "closed"; }
      return results;
    }, { origin: inbox.origin, hold: id });
    assert.ok(Object.values(tried).every((end) => ["unread", "stopped", "closed"].includes(end)), JSON.stringify({ host, tried }));
  }
  assert.match(await house.cli("freeze", "--list").catch(() => house.cli("status")), /nothing/i);
  assert.equal((await house.hold(id)).state, "pending");
  assert.equal(house.server.ran.length, 0);

  // Another host name shares no cookie with ours; the same name on another port sees one that decides nothing.
  const cookies = await house.context.cookies(inbox.origin);
  const ours = cookies.find(({ name }) => name === "__Host-herma");
  assert.ok(ours.httpOnly && ours.secure && ours.sameSite === "Strict", JSON.stringify(ours));
  assert.ok(!seen[0].includes("herma"));

  // A link from there leads somebody who is signed in to what it names, although the browser sends no cookie with it.
  await page.goto(`http://127.0.0.1:${port}/`);
  await page.click("a");
  await page.waitForSelector("html[data-page=Hold][data-live]");
  assert.equal(new URL(page.url()).pathname, `/h/${id}`);

  house.requests = house.requests.filter((url) => new URL(url).port !== String(port));
  house.wrong = house.wrong.filter((line) => !/frame/.test(line));
  server.close();
}
