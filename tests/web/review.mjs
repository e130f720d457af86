// What ran is looked at afterwards, taken back, or not, and what has not run yet is stopped.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { faults, soon } from "./house.mjs";

const LATER = `
[[tool]]
id = "note.later"
reason = "Sets a note"
tools = ["set_note"]
effect = "change"
undo = { kind = "delay", seconds = 30 }
match = [{ server = "harbour", tool = "set_note", args = {} }]
`;

export const plan = {
  config: '[[rule]]\nid = "look"\ntool = "*"\nroute = "review"\n',
  top(dir) {
    const pack = join(dir, "later.toml");
    writeFileSync(pack, LATER);
    return `rule_packs = [${JSON.stringify(pack)}]`;
  },
};

export default async function review(house) {
  const ground = realpathSync(mkdtempSync(join(tmpdir(), "herma-ground-")));
  try {
    await scene(house, ground);
  } finally {
    rmSync(ground, { recursive: true, force: true });
  }
}

async function scene(house, ground) {
  const file = join(ground, "a.txt");
  const text = () => readFileSync(file, "utf8");
  writeFileSync(file, "first\nsame\n");
  const agent = await house.wrapped("files", "mcp-server-filesystem", ground);
  await agent.call("edit_file", { path: file, edits: [{ oldText: "first", newText: "changed" }] });
  assert.equal(text(), "changed\nsame\n");
  await house.pair();
  const { page } = house;
  const { keyboard: keys } = page;
  const row = page.locator("li.review").first();
  await house.go("/review");
  await row.locator(".diff .out", { hasText: "first" }).first().waitFor();
  await row.locator(".diff .in", { hasText: "changed" }).first().waitFor();
  assert.deepEqual(await faults(page), []);

  // Somebody changed the file since: nothing is taken back, and the page shows all three states.
  writeFileSync(file, "somebody else's\n");
  await keys.press("j");
  await keys.press("r");
  await page.waitForSelector('[data-drawer="revert"]:not([hidden])');
  await keys.press("Enter");
  await row.locator("[data-error]", { hasText: "look at it again" }).waitFor();
  assert.equal(text(), "somebody else's\n");
  await page.locator("#said button", { hasText: "Look at it again" }).press("Enter");
  await row.locator(".caution", { hasText: "cannot be taken back now" }).waitFor();
  assert.deepEqual(await row.locator(".states dt").allInnerTexts(), ["before", "after the call", "now"]);
  await row.locator(".diff .in", { hasText: "somebody else's" }).first().waitFor();
  assert.equal(await row.locator('[data-act="revert"]').count(), 0);

  // As the call left it, it goes back with three keys, and the agent is told.
  writeFileSync(file, "changed\nsame\n");
  await house.go("/review");
  await keys.press("j");
  await keys.press("r");
  await page.waitForSelector('[data-drawer="revert"]:not([hidden])');
  await keys.press("Enter");
  await page.locator(".review.gone", { hasText: "taken back" }).waitFor();
  assert.equal(text(), "first\nsame\n");
  assert.match(await agent.call("write_file", { path: join(ground, "b.txt"), content: "one\n" }), /\[Herma\] A person \(ada\) took back/);

  // The like are accepted together; what others do with the queue is news, what I do is not.
  await agent.call("write_file", { path: join(ground, "c.txt"), content: "two\n" });
  await soon("both in the queue", async () => {
    await house.go("/review");
    return await page.locator("li.review").count() === 2;
  });
  await page.locator("[data-group]").first().press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".review.gone").length === 2);
  await agent.call("write_file", { path: join(ground, "d.txt"), content: "three\n" });
  await page.locator("#said", { hasText: "the queue changed" }).waitFor();

  // Whoever objects presses twice; then the next such call waits for a person.
  await house.go("/review");
  await keys.press("j");
  await keys.press("f");
  await row.locator('[data-key="flag"].sure').waitFor();
  await keys.press("f");
  await page.locator(".review.gone", { hasText: "flagged" }).waitFor();
  const held = await house.held(agent, "write_file", { path: join(ground, "e.txt"), content: "four\n" });
  await house.cli("holds", "deny", held.id, "--reason", "no more files");
  assert.match(await held.end, /no more files/);

  // Below the queue the tool is let go again, also pressed twice.
  await house.go("/review");
  const unflag = page.locator('[data-post="/op/v1/tools/unflag"]');
  assert.deepEqual(await faults(page), []);
  await unflag.click();
  await unflag.and(page.locator(".sure")).click();
  await unflag.waitFor({ state: "detached" });

  // What waits its delay out counts down and is stopped.
  const other = await house.agent();
  const end = other.call("set_note", { text: "later" });
  await soon("the delayed call", async () => {
    await house.go("/review");
    return await page.locator(".review .countdown", { hasText: /runs\s+in \d+ s unless stopped/ }).count() === 1;
  });
  await keys.press("j");
  await keys.press("r");
  assert.match(await end, /stopped before it ran/);
  await page.locator(".review.gone", { hasText: "it never runs" }).waitFor();
  assert.deepEqual(house.server.ran, []);
}
