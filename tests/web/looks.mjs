// Every page in light, dark and on a phone: nothing serious for axe-core, nothing wider than the window, every
// target a thumb wide. With HERMA_TEST_PICTURES the pages are also taken as pictures into that directory.
import assert from "node:assert/strict";
import { faults, GATED } from "./house.mjs";

const DESK = '[[notify]]\nname = "desk"\nkind = "ntfy"\nurl = "http://127.0.0.1:1/topic"\n';

export const plan = { config: `${GATED}\n[[approval]]\ncrisis = true\nquorum = 2\n${DESK}` };

const SIZES = { light: {}, dark: { colorScheme: "dark" }, phone: { viewport: { width: 360, height: 740 }, touch: true, scale: 2 } };

export default async function looks(house) {
  const agent = await house.agent();
  const ends = [];
  const wait = async (tool, args) => { const held = await house.held(agent, tool, args); ends.push(held.end); return held.id; };
  const first = await house.held(agent, "read_note", { path: "notes/today.md" });
  await house.cli("holds", "approve", first.id);
  await first.end;
  const other = await wait("set_note", { path: "notes/today.md", text: "Opened at nine.", edits: [{ oldText: "closed\n", newText: "open\n" }] });
  const high = await wait("http_post", { url: "https://shop@api.payments.example:8443/v1/charges", amount: "1249.00", note: "invoice\u202Efdp.exe for p\u0430ypal" });
  const critical = await wait("run_command", { command: "cd /srv/harbour && rm -rf site/ && git push --force origin main > \"$HOME/push.log\" # tidy up" });
  const crisis = await wait("send_message", { to: "robin@example.org", message: "Hello Robin, you wrote that you want to kill yourself tonight. Thank you for telling us.\n\nYou do not have to be alone with this. May a colleague call you this evening?" });
  const { session } = await house.hold(high);
  const pages = {
    inbox: "/", "hold-critical": `/h/${critical}`, "hold-crisis": `/h/${crisis}`, "hold-high": `/h/${high}`, "hold-other": `/h/${other}`,
    sessions: "/s", timeline: `/s/${encodeURIComponent(session)}`, review: "/review", simulator: "/sim", draft: "/sim?draft=quiet", warrants: "/w", audit: "/log", settings: "/settings",
  };
  const wrong = [];
  for (const [size, options] of Object.entries(SIZES)) {
    await house.context.close();
    const page = await house.person(options);
    await page.goto(house.url);
    wrong.push(...(await faults(page)).map((fault) => `door, ${size}: ${fault}`));
    await picture(page, "door", size);
    await house.pair(`ada ${size}`);
    if (size === "light") await furnish(house);
    for (const [name, path] of Object.entries({ ...pages, tried: "/w?party=server:harbour" })) {
      await house.go(path);
      if (name === "tried") {
        await page.click('#warrant [data-act="ask"]');
        await page.waitForSelector("#warrant-answer .card");
      }
      wrong.push(...(await faults(page)).map((fault) => `${name}, ${size}: ${fault}`));
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (over > 0) wrong.push(`${name}, ${size}: ${over} px wider than the window`);
      if (size === "phone") wrong.push(...(await small(page)).map((target) => `${name}: ${target} is too small for a thumb`));
      await picture(page, name, size);
    }
    await page.keyboard.press("?");
    wrong.push(...(await faults(page)).map((fault) => `keys, ${size}: ${fault}`));
  }
  assert.deepEqual(wrong, []);
}

/** A warrant, a draft, and a channel that nobody answers at. */
async function furnish(house) {
  const { page } = house;
  const press = async (selector) => { await page.click(selector); await page.click(`${selector}.sure`); };
  await house.go("/w");
  await page.fill("#warrant [name=party]", "server:harbour");
  await page.fill("#warrant [name=allow]", "read_note:path=notes/*\nset_note:path=notes/*,text=*,edits=*\nhttp_post\nrun_command\nsend_message");
  await page.click('#warrant [data-act="ask"]');
  await page.waitForSelector("#warrant-answer .card");
  await press('#warrant-answer [data-post="/op/v1/warrants"]');
  await page.waitForSelector("article.warrant");
  await house.go("/sim");
  await page.fill("[name=name]", "quiet");
  await page.fill("[name=draft]", '[[rule]]\nid = "notes-are-fine"\ntool = "*_note"\nroute = "execute"\n');
  await page.click('#sim [data-post="/op/v1/policy/drafts"]');
  await page.waitForURL(/draft=quiet$/);
  await house.go("/settings");
  await page.click('[data-post="/op/v1/channels/desk/test"]');
  await page.locator("[data-error]", { hasText: "cannot be reached" }).waitFor();
}

const small = (page) => page.locator("button:visible, select:visible, input:visible:not([type=checkbox]), nav a:visible").evaluateAll((targets) => targets
  .map((target) => [target, target.getBoundingClientRect()]).filter(([, box]) => box.height < 44)
  .map(([target, box]) => `${target.textContent.trim() || target.name} (${Math.round(box.height)} px)`));

async function picture(page, name, size) {
  const to = process.env.HERMA_TEST_PICTURES;
  if (to) await page.screenshot({ path: `${to}/${name}-${size}.png` });
}
