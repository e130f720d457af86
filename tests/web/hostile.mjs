// Whatever an agent writes: it is read and not obeyed, and what is read is what is there.
import assert from "node:assert/strict";

const PAYLOADS = [
  "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg onload=alert(1)>", "'-alert(1)-'", "javascript:alert(1)",
  "</textarea><script>alert(1)</script>", "</title><script>alert(1)</script>", "<iframe src=http://evil.example/></iframe>",
  "<link rel=stylesheet href=http://evil.example/a.css>", "<base href=http://evil.example/>", "<meta http-equiv=refresh content=0;url=http://evil.example/>",
  "<a href=http://evil.example/ autofocus onfocus=alert(1)>x</a>", "{{constructor.constructor('alert(1)')()}}", "${alert(1)}", "<!--", "]]>",
  "&lt;script&gt;alert(1)&lt;/script&gt;", "\u0000\u0008<b>\u001b[2J", "![x](http://evil.example/p.png)", "url(http://evil.example/p.png)",
];
const SPOOF = "pay\u202Eevil\u202C and \u2066isolated\u2069 \u200Bzero p\u0430ypal \u{E0041}\u{E0042} end" + " ".repeat(4000) + "hidden tail";
const HEBREW = "send 100 to \u05E9\u05DC\u05D5\u05DD 200 \u05E2\u05D5\u05DC\u05DD / etc / passwd";

/** Left edges of what is shown, in the order of the document, line by line. */
const edges = (element) => {
  const found = [];
  const visit = (node) => {
    if (node.nodeType === Node.ELEMENT_NODE) {
      if (node.matches("bdi, .sign")) return void found.push([...node.getClientRects()].map((rect) => [rect.top, rect.left]));
      return node.childNodes.forEach(visit);
    }
    for (let at = 0; at < node.length; at += 1) {
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + 1);
      const [rect] = range.getClientRects();
      if (rect?.width) found.push([[rect.top, rect.left]]);
    }
  };
  visit(element);
  return found.map((rects) => rects[0]).filter(Boolean);
};

export default async function hostile(house) {
  const agent = await house.agent('"><img src=x onerror=alert(1)>');
  const { id } = await house.held(agent, "set_note", {
    ...Object.fromEntries(PAYLOADS.map((payload, at) => [`f${at}`, payload])),
    ...Object.fromEntries(PAYLOADS.map((payload) => [payload, "name"])),
    list: PAYLOADS, deep: { [PAYLOADS[0]]: { [PAYLOADS[1]]: PAYLOADS[2] } },
    spoof: SPOOF, hebrew: HEBREW, long: `${"x ".repeat(3000)}the end`,
  });
  for (const [at, payload] of PAYLOADS.entries()) {
    await house.held(agent, ["run_command", "send_message", "http_post", "edit_file"][at % 4], {
      command: payload, to: payload, message: payload, url: `http://evil.example/${payload}`, path: payload,
      edits: [{ oldText: payload, newText: `${payload}!` }],
    }).catch(() => {});
    if (at === 3) break;
  }
  await house.pair();
  const { page } = house;
  await house.go(`/h/${id}`);
  for (const details of await page.locator("details").all()) await details.evaluate((node) => { node.open = true; });

  const body = await page.locator("article.card").innerText();
  for (const payload of PAYLOADS) {
    const plain = payload.replace(/[\u0000-\u001f]/g, "");
    if (plain === payload) assert.ok(body.includes(payload), `not shown as it is: ${payload}`);
  }
  for (const sign of ["U+0000", "U+001B", "U+202E", "U+202C", "U+2066", "U+200B", "U+0430 not a", "U+E0041 tag A", "4,000 spaces", "hidden tail", "the end"]) {
    assert.ok(body.includes(sign), `${sign} is not written out`);
  }
  const text = await page.evaluate(() => document.documentElement.textContent);
  assert.ok(!/[\u202a-\u202e\u2066-\u2069\u200b]/.test(text), "a character that acts is on the page");

  for (const name of ["spoof", "hebrew"]) {
    const found = await page.locator(`[data-pointer="/${name}"] dd .text`).evaluate(edges);
    assert.ok(found.length > 10);
    for (const [at, [top, left]] of found.entries()) {
      const [above, before] = found[at - 1] ?? [top, 0];
      assert.ok(top > above + 4 || left >= before - 1, `${name}: what stands later is shown earlier, at ${at}`);
    }
  }
  for (const path of ["/", `/h/${id}`, "/s", `/s/${encodeURIComponent((await house.hold(id)).session)}`, "/review", "/sim", "/w", "/log", "/settings"]) {
    await house.go(path);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(over, 0, `${path} is wider than the window`);
  }

  // A question to the simulator comes back as a page, made safe at the same place.
  await house.go("/sim");
  await page.fill("[name=call]", JSON.stringify({ server: "harbour", tool: "run_command", arguments: { command: "rm -rf / <img src=x onerror=alert(1)>" } }));
  await page.click('[data-act="ask-call"]');
  await page.locator("#sim-answer h2", { hasText: "This call" }).waitFor();

  // The page forbids by itself what the server would never send.
  const blocked = await page.evaluate(() => {
    try {
      document.body.insertAdjacentHTML("beforeend", "<i>x</i>");
      return "taken";
    } catch (error) { return error.name; }
  });
  assert.equal(blocked, "TypeError");
  house.wrong = house.wrong.filter((line) => !/TrustedHTML/.test(line));
}
