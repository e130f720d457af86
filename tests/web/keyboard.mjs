// A person who never touches the mouse: from the door to decided holds.
import assert from "node:assert/strict";
import { soon } from "./house.mjs";

export default async function keyboard(house) {
  const began = Date.now();
  const agent = await house.agent();
  const first = await house.held(agent, "set_note", { path: "notes/a.md", text: "one" });
  await house.pair();
  const { page } = house;
  const { keyboard: keys } = page;
  assert.match(await page.title(), /^\(1\) Inbox/);

  // The first press shows the call, the second one decides, and not before there was time to look.
  await keys.press("j");
  await keys.press("a");
  await page.waitForSelector(".slot .card .approve.sure");
  await keys.press("a");
  await house.said("Look at it first.");
  assert.deepEqual(house.server.ran, []);
  await page.waitForSelector('.slot .approve[aria-disabled="false"]');
  await keys.press("a");
  assert.match(await first.end, /done/);
  assert.ok(Date.now() - began < 60_000, "a minute is enough");
  assert.deepEqual(house.server.ran.map((call) => call.arguments.text), ["one"]);
  await page.waitForSelector(`#${first.id}.gone`);

  // What comes later waits below a bar and moves nothing.
  const second = await house.held(agent, "set_note", { path: "notes/b.md", text: "two" });
  await page.locator("#news button", { hasText: "1 new" }).waitFor();
  assert.equal(await page.locator("li.row").count(), 1);
  await page.locator("#news button").press("Enter");
  await page.waitForSelector(`#${second.id}`);

  // A denial can be taken back while it counts down; then the reason reaches the agent.
  await page.waitForSelector("html[data-live]");
  await keys.press("j");
  await keys.press("d");
  await page.waitForSelector('[data-drawer="deny"]:not([hidden])');
  await keys.press("2");
  await house.said("Denied in 4 seconds");
  await keys.press("u");
  await house.said("Not denied");
  await keys.press("d");
  await page.waitForSelector('[data-drawer="deny"]:not([hidden])');
  await keys.press("2");
  assert.match(await second.end, /Too broad/);

  // A denial that still counts down goes out with the page that is closed.
  const left = await house.held(agent, "set_note", { path: "notes/b.md", text: "left" });
  const other = await house.context.newPage();
  await house.go(`/h/${left.id}`, other);
  await other.keyboard.press("d");
  await other.waitForSelector('[data-drawer="deny"]:not([hidden])');
  await other.keyboard.press("2");
  await house.said("Denied in 4 seconds", other);
  await other.close();
  assert.match(await left.end, /Too broad/);

  // Edited arguments run in the place of the agent's, which is told so.
  const third = await house.held(agent, "set_note", { path: "notes/c.md", text: "three" });
  await house.go("/");
  await keys.press("j");
  await keys.press("e");
  const field = page.locator('[data-drawer="edit"] textarea[name=arguments]');
  await page.waitForSelector('[data-drawer="edit"][data-filled]');
  await field.fill("{ not json");
  await page.locator('[data-act="edit-now"]').press("Enter");
  await page.locator('[data-drawer="edit"] .error', { hasText: "no JSON" }).waitFor();
  await field.fill('{"path": "notes/c.md", "text": "drei"}');
  await page.waitForSelector('.slot .approve[aria-disabled="false"]');
  await page.locator('[data-act="edit-now"]').press("Enter");
  assert.match(await third.end, /changed the arguments/);
  assert.equal(house.server.ran.at(-1).arguments.text, "drei");

  // Many of one group at once, pressed twice.
  const more = [];
  for (const text of ["four", "five"]) more.push(await house.held(agent, "set_note", { path: "notes/d.md", text }));
  await house.go("/");
  for (let row = 0; row < 2; row += 1) {
    await keys.press("j");
    await keys.press("x");
  }
  await page.locator("#batch-count", { hasText: "2 selected" }).waitFor();
  const batch = page.locator('[data-act="batch-approve"]');
  await batch.press("Enter");
  await page.locator('[data-act="batch-approve"].sure').press("Enter");
  await Promise.all(more.map(({ end }) => end));
  assert.deepEqual(house.server.ran.slice(-2).map((call) => call.arguments.text).sort(), ["five", "four"]);

  // Keys lead to every page and back; the filter keeps what fits.
  for (const [key, name] of Object.entries({ s: "Sessions", r: "Review", p: "Simulator", w: "Warrants", l: "Audit", t: "Settings", i: "Inbox" })) {
    await keys.press("g");
    await keys.press(key);
    await page.waitForSelector(`html[data-page="${name}"][data-ready][data-live]`);
  }
  await keys.press("?");
  await page.waitForSelector("#keys[open]");
  await keys.press("Escape");
  await page.waitForSelector("#keys:not([open])", { state: "attached" });

  // The record says who decided.
  const lines = await soon("the decision in the record", async () => {
    await house.go("/log?step=decided");
    return (await page.locator(".record-what", { hasText: "by ada" }).count()) >= 4;
  });
  assert.ok(lines);
}
