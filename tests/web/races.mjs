// The world moves while somebody looks.
import assert from "node:assert/strict";

const CRISIS = "You said you want to kill yourself tonight. Please do not do anything.";

export default async function races(house) {
  const agent = await house.agent();
  const calls = [];
  for (const text of ["one", "two", "three"]) calls.push(await house.held(agent, "set_note", { path: "notes/x.md", text }));
  await house.pair();
  const { page } = house;
  const order = () => page.locator("li.row").evaluateAll((rows) => rows.map((row) => row.id));
  const before = await order();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("a");
  await page.waitForSelector('.slot .approve[aria-disabled="false"]');
  const meant = await page.locator("li.row.on").getAttribute("id");

  // Something worse arrives: it would stand on top, and moves nothing under the hand.
  const crisis = await house.held(agent, "send_message", { to: "robin@example.org", message: CRISIS });
  await page.locator("#news button", { hasText: "1 new" }).waitFor();
  assert.deepEqual(await order(), before);
  await page.keyboard.press("a");
  const call = calls.find(({ id }) => id === meant);
  assert.match(await call.end, /done/);
  assert.equal(house.server.ran.length, 1);

  // An equal call joins: the card counts it, and what was seen can still be approved. (In a crisis it would be more
  // than what was seen, and asked about again.)
  await house.cli("crisis", "clear", "local", "--reason", "they are with a friend");
  const rest = calls.filter(({ id }) => id !== meant);
  await house.go(`/h/${rest[0].id}`);
  const text = ["one", "two", "three"][calls.indexOf(rest[0])];
  const joined = agent.call("set_note", { path: "notes/x.md", text });
  await page.locator("[data-times]", { hasText: "×2" }).first().waitFor();
  await page.waitForSelector('.approve[aria-disabled="false"]');
  await page.click('[data-act="approve"]');
  assert.deepEqual(await Promise.all([rest[0].end, joined]).then((ends) => ends.map((end) => /done/.test(end))), [true, true]);
  assert.equal(house.server.ran.length, 2);

  // A page that hears nothing any more is stale: it decides nothing.
  // (After a decision the page is still on its way to how things stand then.)
  const left = () => page.goto("about:blank").then(() => true, () => false);
  while (!(await left()));
  house.requests = house.requests.filter((url) => url !== "about:blank");
  await house.context.route("**/op/v1/events*", (route) => route.abort());
  await page.goto(new URL(`/h/${rest[1].id}`, house.url).href);
  await page.waitForSelector('.approve[aria-disabled="false"]');
  await house.cli("holds", "escalate", rest[1].id, "--reason", "not alone");
  await page.click('[data-act="approve"]');
  await page.locator("#said:not(:empty)").waitFor();
  await page.waitForSelector('.approve[aria-disabled="true"]');
  await page.locator(".armed", { hasText: "changed while you looked" }).waitFor();
  assert.equal(house.server.ran.length, 2);
  assert.equal((await house.hold(rest[1].id)).state, "pending");

  // In a crisis nothing is sent before it was read to its end and the name was typed.
  await house.context.unroute("**/op/v1/events*");
  await house.go(`/h/${crisis.id}`);
  await page.locator(".crisis-message blockquote", { hasText: "tonight" }).waitFor();
  assert.equal(await page.locator(".pick").count(), 0);
  const typed = page.locator("input[name=typed]");
  await page.locator(".card-end").scrollIntoViewIfNeeded();
  await page.locator(".armed", { hasText: "Type" }).waitFor();
  await page.keyboard.press("a");
  await page.keyboard.press("a");
  assert.equal(house.server.ran.length, 2);
  await typed.fill(await page.locator("article.card").getAttribute("data-typed"));
  await page.waitForSelector('.approve[aria-disabled="false"]');
  await typed.press("Enter");
  assert.match(await crisis.end, /done/);
  assert.equal(house.server.ran.at(-1).arguments.message, CRISIS);
}
