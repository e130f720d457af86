// A draft of the policy is kept, looked at beside the file, put in force, and refused once the file is another.
import assert from "node:assert/strict";
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { faults } from "./house.mjs";

const OPEN = '# everything runs, for now\n[[rule]]\nid = "open"\ntool = "*"\nroute = "execute"\n';
const SHUT = '[[rule]]\nid = "shut"\ntool = "*"\nroute = "block"\nreason = "closed for the night"\n';

export const plan = { config: OPEN };

export default async function drafts(house) {
  const agent = await house.agent();
  const file = join(house.dir, "herma.toml");
  assert.match(await agent.call("read_note", { path: "a" }), /done/);
  await house.pair();
  const { page } = house;
  await house.go("/sim");
  assert.match(await page.inputValue("[name=draft]"), /^# everything runs, for now$/m);
  const save = async (name, text) => {
    await page.fill("[name=name]", name);
    await page.fill("[name=draft]", text);
    await page.click('#sim [data-post="/op/v1/policy/drafts"]');
  };
  await save("night shift", SHUT);
  assert.ok(await page.locator("[name=name]:invalid").count(), "a name stands in an address");
  await save("night", SHUT);
  await page.waitForURL(/\/sim\?draft=night$/);
  await page.waitForSelector("html[data-ready][data-live]");
  const card = page.locator(".card", { hasText: "Draft night" });
  await card.locator(".diff .in", { hasText: "closed for the night" }).waitFor();
  await card.locator(".diff .out", { hasText: "everything runs" }).waitFor();
  assert.equal(await page.inputValue("[name=draft]"), SHUT);
  assert.deepEqual(await faults(page), []);
  assert.match(await agent.call("read_note", { path: "a" }), /done/, "a draft is not in force");

  const press = async (button) => { await button.click(); await button.and(page.locator(".sure")).click(); };
  await press(card.locator('[data-post$="/activate"]'));
  await page.waitForURL(/\/sim$/);
  assert.match(await agent.call("read_note", { path: "a" }), /closed for the night/);
  assert.match(readFileSync(file, "utf8"), /\[\[server\]\]\nname = "harbour"/);
  await house.go("/log?step=policy");
  await page.locator(".record li", { hasText: "ada" }).first().waitFor();

  // Somebody else changed the file meanwhile: that is said, and nothing is put in force.
  await house.go("/sim");
  await save("day", OPEN);
  await page.waitForURL(/draft=day$/);
  await page.waitForSelector("html[data-ready][data-live]");
  appendFileSync(file, "# somebody was here\n");
  await press(page.locator('[data-post$="/activate"]'));
  await page.locator("[data-error]", { hasText: "has changed since" }).waitFor();
  await page.reload();
  await page.waitForSelector("html[data-ready][data-live]");
  await page.locator(".caution", { hasText: "has changed since" }).waitFor();
  assert.equal(await page.locator('[data-post$="/activate"]').count(), 0);
  assert.deepEqual(await faults(page), []);
  assert.match(await agent.call("read_note", { path: "a" }), /closed for the night/);
  await press(page.locator('[data-post$="/remove"]'));
  await page.waitForURL(/\/sim$/);
  assert.equal(await page.locator("a", { hasText: "day" }).count(), 0);
}
