// Two people with a browser each: what takes both of them, and what only the other one may say.
import assert from "node:assert/strict";
import { GATED } from "./house.mjs";

const CRISIS = "You said you want to kill yourself tonight. Please do not do anything.";

export const plan = { config: `${GATED}
[[approval]]
tool = "http_post"
quorum = 2
[crisis]
personal = true
second_person = "ben"
` };

/** Whatever must be done before this page lets one approve. */
async function approve(page) {
  await page.locator(".card-end").scrollIntoViewIfNeeded();
  const typed = page.locator("input[name=typed]");
  if (await typed.count()) await typed.fill(await page.locator("article.card").getAttribute("data-typed"));
  await page.waitForSelector('.approve[aria-disabled="false"]');
  await page.click('[data-act="approve"]');
}

export default async function people(house) {
  const agent = await house.agent();
  const ada = house.page;
  await house.pair("ada", ada);
  const ben = await house.person();
  await house.pair("ben", ben);

  // One of two is not enough, and the same one twice is still one.
  const post = await house.held(agent, "http_post", { url: "https://api.example/v1/charges", amount: "12.00" });
  await house.go(`/h/${post.id}`, ada);
  await house.go(`/h/${post.id}`, ben);
  const badge = (page, text) => page.locator("article .badge", { hasText: text }).waitFor();
  await badge(ada, "0 of 2 approvals");
  await approve(ada);
  await badge(ada, "1 of 2 approvals");
  await ada.locator("dd", { hasText: "2 people; approved so far: ada" }).waitFor();
  assert.equal(house.server.ran.length, 0);
  await ada.waitForSelector("html[data-ready][data-live]");
  await approve(ada);
  await house.said("somebody else as well", ada);
  assert.equal((await house.hold(post.id)).state, "pending");

  // Whoever has had the page open all along sees the first word, and says the second.
  await badge(ben, "1 of 2 approvals");
  assert.equal(house.server.ran.length, 0);
  await approve(ben);
  assert.match(await post.end, /done/);
  await ben.locator(".settled", { hasText: "by ben" }).waitFor();
  await ada.locator(".settled", { hasText: "by ben" }).waitFor();
  assert.equal(house.server.ran.length, 1);

  // Ada may be the one in crisis: nothing is sent on her word, nor declared over.
  const crisis = await house.held(agent, "send_message", { to: "robin@example.org", message: CRISIS });
  await house.go(`/h/${crisis.id}`, ada);
  await ada.locator("dd", { hasText: "ben" }).waitFor();
  await approve(ada);
  await house.said("must decide", ada);
  await house.go("/", ada);
  const clear = async (page, reason) => {
    await page.fill(".clear [name=reason]", reason);
    await page.click('.clear [data-post="/op/v1/latches/clear"]');
  };
  await clear(ada, "it is over");
  await house.said("ben must decide", ada);
  await assert.rejects(house.cli("crisis", "clear", "local", "--reason", "it is over"), /ben must decide/);
  const { typed } = await house.hold(crisis.id);
  await assert.rejects(house.cli("holds", "approve", crisis.id, "--yes-irreversible", typed), /ben must decide/);
  assert.equal((await house.hold(crisis.id)).state, "pending");
  assert.equal(house.server.ran.length, 1);

  // Ben may say both.
  await house.go(`/h/${crisis.id}`, ben);
  await approve(ben);
  assert.match(await crisis.end, /done/);
  await house.go("/", ben);
  await clear(ben, "she is with her sister");
  await ben.waitForSelector(".latch", { state: "detached" });
  assert.equal(house.server.ran.at(-1).arguments.message, CRISIS);
}
