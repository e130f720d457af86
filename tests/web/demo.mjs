// A newcomer: from `herma demo` to a decided call in the browser, with nothing to configure.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { soon } from "./house.mjs";

export const plan = { empty: true };

export default async function demo(house) {
  const began = Date.now();
  const { HERMA_TEST_BINARY: herma, ...env } = process.env;
  const play = spawn(herma, ["demo"], { env: { ...env, HERMA_DATA_DIR: house.dir }, stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(play, "exit");
  for (const stream of [play.stdout, play.stderr]) stream.on("data", (part) => { house.log += part; });
  try {
    const said = (pattern) => soon(String(pattern), () => pattern.exec(house.log)?.[0]);
    house.url = await said(/http:\/\/herma\.localhost:\d+\//);
    const code = await said(/\b[A-Z0-9]{4}-[A-Z0-9]{4}\b/);
    await house.pair("newcomer", house.page, code);
    const { page } = house;
    const { keyboard: keys } = page;
    await soon("the call in the inbox", async () => {
      await house.go("/");
      return page.locator("li.row.critical").count();
    });
    await keys.press("j");
    await keys.press("d");
    await page.waitForSelector('[data-drawer="deny"]:not([hidden])');
    await keys.press("2");
    await said(/On disk: site\/index\.html is still there\./);
    const took = Date.now() - began;
    console.log(`from \`herma demo\` to a decided call in the browser: ${(took / 1000).toFixed(1)} s`);
    assert.ok(took < 60_000, `${took} ms`);

    await soon("the message in a crisis", async () => {
      await house.go("/");
      return page.locator("li.row.crisis").count();
    });
    await keys.press("j");
    await keys.press("d");
    await page.waitForSelector('[data-drawer="deny"]:not([hidden])');
    await keys.press("1");
    await said(/On disk: the outbox is empty\./);
    await said(/: intact/);
    assert.deepEqual(await ended, [0, null]);
  } finally {
    if (play.exitCode === null) play.kill("SIGTERM");
    await ended;
  }
}
