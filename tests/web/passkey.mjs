// A passkey for what policy wants one for: the touch is for this decision and no other.
import assert from "node:assert/strict";
import { GATED } from "./house.mjs";

export const plan = { config: `${GATED}\n[[approval]]\ntool = "http_post"\nmethod = "passkey"\n` };

export default async function passkey(house) {
  const agent = await house.agent();
  await house.pair();
  const { page, context } = house;
  const cdp = await context.newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", { options: {
    protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true,
  } });

  const post = await house.held(agent, "http_post", { url: "https://api.example/v1/charges", amount: 12 });
  await house.go(`/h/${post.id}`);
  await page.locator(".badge", { hasText: "passkey" }).waitFor();
  const press = async () => {
    const typed = page.locator("input[name=typed]");
    if (await typed.count()) await typed.fill(await page.locator("article.card").getAttribute("data-typed"));
    await page.locator(".card-end").scrollIntoViewIfNeeded();
    await page.waitForSelector('.approve[aria-disabled="false"]');
    await page.click('[data-act="approve"]');
  };
  await press();
  await house.said("passkey");
  assert.equal(house.server.ran.length, 0);

  await house.go("/settings");
  await page.click('[data-act="passkey"]');
  await page.locator(".person .badge", { hasText: "passkey" }).waitFor();

  await house.go(`/h/${post.id}`);
  await press();
  assert.match(await post.end, /done/);
  const receipt = (await house.hold(post.id)).decision;
  assert.equal(receipt.approver.method, "passkey");
  const { clientData, client_data: data = clientData } = receipt.evidence.webauthn;
  const challenge = JSON.parse(Buffer.from(data, "base64url")).challenge;
  assert.equal(Buffer.from(challenge, "base64url").length, 32);

  // It opens the door as well, in a browser that was never paired.
  await page.goto(new URL("/settings", house.url).href);
  await page.click('[data-act="sign-out"]');
  await page.waitForSelector("#pair");
  await page.click('[data-act="sign-in"]');
  await page.waitForSelector("html[data-page=Inbox][data-live]");

  // Somebody whom the authenticator does not verify is nobody.
  const again = await house.held(agent, "http_post", { url: "https://api.example/v1/charges", amount: 13 });
  await cdp.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
  await house.go(`/h/${again.id}`);
  await press();
  await page.locator("#said:not(:empty)").waitFor();
  assert.equal(house.server.ran.length, 1);
}
