// The switches beside the single decision: similar calls, passing on, freezing, the end of a crisis, the record.
import assert from "node:assert/strict";

// What is not said here is Herma's default: risk decides.
export const plan = { config: "" };

const CHARGE = { url: "https://api.example/v1/charges", amount: "1249.00" };

export default async function switches(house) {
  const agent = await house.agent();
  const first = await house.held(agent, "http_post", CHARGE);
  await house.pair();
  const { page } = house;

  // Similar calls pass for a while, once the rule was shown; taken back, they are asked about again.
  await page.keyboard.press("j");
  await page.keyboard.press("s");
  await page.locator("[data-preview] p", { hasText: "http_post" }).waitFor();
  await page.locator("[data-preview]", { hasText: "calls of this tool in the last 7 days" }).waitFor();
  await page.waitForSelector('.slot .approve[aria-disabled="false"]');
  await page.click('[data-act="similar-now"]');
  assert.match(await first.end, /done/);
  await house.said("similar calls pass");
  assert.match(await agent.call("http_post", CHARGE), /done/);
  assert.deepEqual(await house.holds(), []);
  await house.go("/settings");
  await page.locator("li", { hasText: "lets pass" }).locator('[data-post$="/withdraw"]').click();
  await page.waitForFunction(() => !document.body.innerText.includes("lets pass"));

  // Passed on, it still waits and says so.
  const second = await house.held(agent, "http_post", CHARGE);
  await house.go(`/h/${second.id}`);
  await page.click('[data-act="escalate"]');
  await page.fill('[data-drawer="escalate"] textarea', "is this ours?");
  await page.click('[data-act="escalate-now"]');
  await page.locator(".caution", { hasText: "Escalated" }).waitFor();

  // Frozen, nothing new that does more than read is even asked about; lifted, it is again.
  await page.click('.top [data-post="/op/v1/freeze"]');
  await page.locator(".frozen", { hasText: "every agent" }).waitFor();
  assert.match(await agent.call("http_post", { ...CHARGE, amount: "7.00" }), /frozen/i);
  await page.click('.frozen [data-post="/op/v1/thaw"]');
  await page.waitForSelector(".frozen", { state: "detached" });

  // A denial in one's own words, for this session, answers the next such call as well.
  await house.go(`/h/${second.id}`);
  await page.waitForSelector('.approve[aria-disabled="false"]');
  await page.keyboard.press("d");
  await page.fill('[data-drawer="deny"] textarea', "not this quarter");
  await page.check("[name=sticky]");
  await page.click('[data-drawer="deny"] button.deny');
  assert.match(await second.end, /not this quarter/);
  await page.locator(".settled", { hasText: "not this quarter" }).waitFor();
  assert.match(await agent.call("http_post", CHARGE), /not this quarter/);

  // A tool that is described otherwise than at first says so until somebody accepts how it is described now.
  house.server.says = (name) => `Does ${name}, and keeps a copy.`;
  const third = await house.held(await house.agent(), "http_post", { ...CHARGE, amount: "3.00" });
  await house.go(`/h/${third.id}`);
  await page.locator('[aria-label="Change of the tool"] .in', { hasText: "keeps a copy" }).waitFor();
  const accept = page.locator('[data-post="/op/v1/tools/accept"]');
  await accept.click();
  await accept.and(page.locator(".sure")).click();
  await accept.waitFor({ state: "detached" });
  await house.go("/settings");
  assert.ok(!(await page.locator("main").innerText()).includes("http_post on harbour"));

  // A crisis ends by a person's word, with a reason that the record keeps.
  await house.held(agent, "send_message", { to: "robin@example.org", message: "You said you want to kill yourself tonight." });
  await house.go("/");
  await page.locator(".latch").waitFor();
  await page.fill(".clear [name=reason]", "she called back and is with her sister");
  await page.click('.clear [data-post="/op/v1/latches/clear"]');
  await page.waitForSelector(".latch", { state: "detached" });

  // The record is searched by what it holds, and proves each line.
  await house.go("/log");
  await page.selectOption('[name="route"]', "gate");
  await page.fill('[name="tool"]', "http_post");
  await page.keyboard.press("Enter");
  await page.waitForURL(/tool=http_post/);
  await page.waitForSelector(".record li");
  assert.equal(await page.inputValue('[name="tool"]'), "http_post");
  const lines = await page.locator(".record li").allInnerTexts();
  assert.ok(lines.length >= 2 && lines.every((line) => line.includes("http_post")), lines.join("\n"));

  // What the last days would have met under a draft.
  await house.go("/sim");
  await page.fill('[name="draft"]', '[[rule]]\nid = "posts-are-fine"\ntool = "http_post"\nroute = "execute"\n');
  await page.click('#sim [data-only="draft days"]');
  await page.locator("#sim-answer td", { hasText: "posts-are-fine" }).first().waitFor();
}
