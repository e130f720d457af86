// A warrant is tried on the past, signed, narrowed, frozen and lifted in the browser; a passkey answers where there is one.
import assert from "node:assert/strict";
import { faults, soon } from "./house.mjs";

const OPEN = '[[rule]]\nid = "open"\ntool = "*"\nroute = "execute"\n';

export const plan = { config: `${OPEN}[ledger]\nlearn = true\n` };

export default async function warrants(house) {
  const agent = await house.agent();
  const runs = async (path) => /done/.test(await agent.call("read_note", { path }));
  for (const path of ["/data/a", "/data/b", "/etc/hosts"]) assert.ok(await runs(path));
  await house.pair();
  const { page } = house;
  await house.go("/w");
  assert.deepEqual(await faults(page), []);
  const ask = async (fields) => {
    for (const [name, text] of Object.entries(fields)) await page.fill(`#warrant [name=${name}]`, text);
    await page.click('#warrant [data-act="ask"]');
  };
  const answer = page.locator("#warrant-answer .card:not([data-old])");
  // Answered anew: nothing of an earlier answer is pressed.
  const tried = async (fields) => {
    await page.evaluate(() => document.querySelector("#warrant-answer .card")?.setAttribute("data-old", ""));
    await ask(fields);
    await answer.waitFor();
  };

  // What cannot be read is said in words, beside the form.
  await ask({ party: "nobody", allow: "read_note:path=/data" });
  await page.locator("#warrant [data-error]", { hasText: "names nobody" }).waitFor();
  const figure = (name) => answer.locator(".figures div").filter({ has: page.getByText(name, { exact: true }) }).locator("dd").innerText();
  await page.fill("#warrant [name=party]", "server:harbour");
  await page.click('#warrant [data-act="query"]');
  await page.waitForURL(/learn=1/);
  await page.waitForSelector("html[data-ready][data-live]");
  await page.locator(".note", { hasText: "Learned from its last 7 days" }).waitFor();
  assert.match(await page.inputValue("#warrant [name=allow]"), /^read_note:path/m);
  await page.fill("#warrant [name=allow]", "read_note:path=/data");
  await soon("the record to have all three", async () => {
    await tried({ party: "server:harbour", life: "1h" });
    return await figure("all") === "3";
  });
  assert.deepEqual([await figure("allowed"), await figure("refused")], ["2", "1"]);
  await answer.locator("li", { hasText: "read_note" }).locator("a", { hasText: "1 call" }).waitFor();
  assert.deepEqual(await faults(page), []);
  assert.ok(await runs("/etc/hosts"), "nothing is signed by looking");

  // Signed, with two presses, it holds from then on.
  const press = async (button) => { await button.click(); await button.and(page.locator(".sure")).click(); };
  await press(answer.locator('[data-post="/op/v1/warrants"]'));
  const standing = page.locator("article.warrant");
  await standing.locator(".badge", { hasText: "made here" }).waitFor();
  assert.deepEqual([await runs("/data/a"), await runs("/etc/hosts")], [true, false]);

  // The form begins with what stands there, and lets nobody widen it.
  await standing.locator("a", { hasText: "Narrow" }).click();
  await page.waitForSelector("html[data-ready]");
  assert.equal(await page.inputValue("#warrant [name=party]"), "server:harbour");
  assert.match(await page.inputValue("#warrant [name=allow]"), /^read_note:path=\/data$/m);
  await ask({ allow: "read_note:path=/" });
  await page.locator("#warrant [data-error]", { hasText: "more than its parent" }).waitFor();

  // Who has a passkey touches it for the next one.
  const cdp = await house.context.newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  await cdp.send("WebAuthn.addVirtualAuthenticator", { options: {
    protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true,
  } });
  await house.go("/settings");
  await page.click('[data-act="passkey"]');
  await page.locator(".person .badge", { hasText: "passkey" }).waitFor();
  await house.go("/w?party=server:harbour");
  await tried({ allow: "read_note:path=/data/in" });
  await press(answer.locator('[data-post="/op/v1/warrants"]'));
  await page.locator("article.warrant .tree .tree").waitFor();
  assert.deepEqual([await runs("/data/a"), await runs("/data/in/a")], [false, true]);
  assert.deepEqual(await faults(page), []);

  // One link frozen stops what is under it; lifted, all is as it was.
  await standing.locator('[data-post="/op/v1/freeze"]').first().click();
  await standing.locator(".badge", { hasText: "frozen" }).waitFor();
  await page.locator('.frozen [data-post="/op/v1/thaw"]').click();
  await page.waitForSelector(".frozen", { state: "detached" });
  await press(standing.locator('[data-post="/op/v1/warrants/lift"]'));
  await standing.waitFor({ state: "detached" });
  assert.ok(await runs("/etc/hosts"));
}
