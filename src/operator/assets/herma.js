// The one script of these pages: keys, countdowns, live changes, and decisions signed by this browser's own key.
// Text of agents reaches the page from the server as markup made safe there, or as text nodes; never as HTML here.
const root = document.documentElement, facts = root.dataset;
const one = (selector, at = document) => at.querySelector(selector);
const all = (selector, at = document) => [...at.querySelectorAll(selector)];
// Counted from the server's clock, for the browser's may be wrong.
const skew = Number(facts.now) - Date.now();
const now = () => Date.now() + skew;
const hold = (id, what = "") => `/op/v1/holds/${encodeURIComponent(id)}${what}`;
const cardOf = (button) => button.closest(".card"), drawerOf = (button) => button.closest("[data-drawer]");
const cards = (id) => all(`article.card[data-id="${CSS.escape(id)}"]`);
const allowed = (card) => one('[data-act="approve"]', card), field = (name, at) => one(`[name="${name}"]`, at);

/* Bytes */
const bytes = (text) => new TextEncoder().encode(text);
const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const unbase64 = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const sha256 = async (text) => [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes(text)))]
  .map((byte) => byte.toString(16).padStart(2, "0")).join("");

/* What would hide or act is written out here as it is on the server. */
const hidden = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\u{e0100}-\u{e01ef}]|(?! )\p{Zs}/gu;
const plain = (text) => String(text).replace(hidden, (c) => c === "\n" ? c : `[U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

/* The key of this browser: it can sign and cannot be read. */
const shelf = (work) => new Promise((done, fail) => {
  const open = indexedDB.open("herma", 1);
  open.onupgradeneeded = () => open.result.createObjectStore("keys");
  open.onerror = () => fail(open.error);
  open.onsuccess = () => {
    const change = open.result.transaction("keys", "readwrite");
    const asked = work(change.objectStore("keys"));
    change.oncomplete = () => { open.result.close(); done(asked.result); };
    change.onerror = () => fail(change.error);
  };
});

async function makeKey() {
  for (const [algorithm, kind] of [["ed25519", { name: "Ed25519" }], ["p256", { name: "ECDSA", namedCurve: "P-256" }]]) {
    try {
      const pair = await crypto.subtle.generateKey(kind, false, ["sign", "verify"]);
      const open = base64(await crypto.subtle.exportKey("raw", pair.publicKey));
      return { algorithm, secret: pair.privateKey, open };
    } catch { /* the next one */ }
  }
  throw new Error("This browser cannot make keys. Use a newer one.");
}

async function signed(path, body, key, session) {
  key ??= await shelf((keys) => keys.get("key"));
  if (!key) throw new Error("The key of this browser is gone. Sign out in the settings and pair it again.");
  const nonce = base64(crypto.getRandomValues(new Uint8Array(16))), time = Math.round(now());
  // In the order of RFC 8785.
  const request = JSON.stringify({
    body: await sha256(body), method: "POST", nonce, origin: location.origin, path,
    session: session ?? facts.session ?? "", time, v: "herma-request-v1",
  });
  const kind = key.algorithm === "ed25519" ? { name: "Ed25519" } : { name: "ECDSA", hash: "SHA-256" };
  const signature = base64(await crypto.subtle.sign(kind, key.secret, bytes(request)));
  return { "content-type": "application/json", "herma-signature": `t=${time}, n=${nonce}, s=${signature}` };
}

async function told(response) {
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 401 && facts.session) location.reload();
  throw Object.assign(new Error(plain(answer.detail ?? `It failed (${response.status}).`)), { answer, status: response.status });
}

const read = async (path) => told(await fetch(path, { headers: { accept: "application/json" } }));

async function send(path, value, key, session) {
  const body = JSON.stringify(value);
  const headers = await signed(path, body, key, session);
  return told(await fetch(path, { method: "POST", headers, body }));
}

/* A page as a document: no string of markup passes through here. */
async function page(path, value) {
  const body = value && JSON.stringify(value);
  const headers = body ? await signed(path, body) : {};
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open(body ? "POST" : "GET", path);
    request.responseType = "document";
    for (const [name, text] of Object.entries(headers)) request.setRequestHeader(name, text);
    request.setRequestHeader("accept", "text/html");
    request.onerror = () => fail(new Error("Herma does not answer."));
    request.onload = () => request.status === 200 ? done(request.response) : fail(new Error(`It failed (${request.status}).`));
    request.send(body);
  });
}

/* What is said at the foot of the page */
let quiet;
function say(text, ...buttons) {
  const place = one("#said");
  place.replaceChildren(document.createTextNode(text), ...buttons);
  clearTimeout(quiet);
  if (!buttons.length) quiet = setTimeout(() => place.replaceChildren(), 8000);
}

function complain(error, at) {
  const place = at && one("[data-error]", at);
  if (!place) return say(error.message);
  place.textContent = error.message;
  place.hidden = false;
}

function make(name, text, data = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  Object.assign(made.dataset, data);
  return made;
}

/* Times */
const lengths = [[86400 * 2, 86400, "days"], [3600, 3600, "h"], [60, 60, "min"], [0, 1, "s"]];
function span(seconds) {
  const [, unit, word] = lengths.find(([from]) => seconds >= from) ?? lengths[3];
  return `${Math.max(0, Math.floor(seconds / unit))} ${word}`;
}
function tick() {
  for (const time of all("time[data-since]")) time.textContent = `${span((now() - Number(time.dataset.since)) / 1000)} ago`;
  for (const time of all("time[data-until]")) {
    const left = (Number(time.dataset.until) - now()) / 1000;
    time.textContent = left <= 0 ? "now" : left < 600 && left >= 60 ? `in ${Math.floor(left / 60)} min ${Math.floor(left % 60)} s` : `in ${span(left)}`;
    time.classList.toggle("soon", left < 60);
  }
}

/* A button is armed once the card was there long enough to be read, and to its end where that counts. */
const LOOK = 800;
const looks = new WeakMap();
function watch(card) {
  if (!allowed(card)) return;
  const look = { since: 0, ended: !card.matches(".crisis, .critical"), timer: 0 };
  looks.set(card, look);
  const visible = new IntersectionObserver(([entry]) => {
    if (!card.isConnected) return visible.disconnect();
    clearTimeout(look.timer);
    if (!entry.isIntersecting || document.hidden) return void (look.since ||= 0);
    if (look.since) return;
    allowed(card).classList.add("arming");
    look.timer = setTimeout(() => { look.since = performance.now(); ready(card); }, LOOK);
  }, { threshold: 0 });
  visible.observe(card);
  const bar = one(".decide", card);
  const end = new IntersectionObserver(([entry]) => {
    if (!card.isConnected) return end.disconnect();
    if (entry.isIntersecting) { look.ended = true; end.disconnect(); ready(card); }
  }, { rootMargin: `0px 0px -${Math.min(bar.offsetHeight, innerHeight / 2)}px 0px` });
  end.observe(one(".card-end", card));
  field("typed", card)?.addEventListener("input", () => ready(card));
  ready(card);
}

/* Why it cannot be approved yet; nothing when it can. */
function missing(card) {
  const look = looks.get(card);
  if (card.dataset.stale) return "It changed while you looked: open it again.";
  if (!look?.since) return "Look at it first.";
  if (!look.ended) return "Read it to its end first.";
  const typed = field("typed", card);
  return typed && typed.value !== card.dataset.typed ? `Type ${card.dataset.typed} first.` : "";
}

function ready(card) {
  const lacks = missing(card), button = allowed(card);
  button?.setAttribute("aria-disabled", String(Boolean(lacks)));
  const said = one(".armed", card);
  if (said && !button.classList.contains("sure")) said.textContent = lacks;
  return !lacks;
}

/* Rows and cards */
const rows = () => all("li.row, [data-row]").filter((row) => !row.hidden);
let chosen = null;
const openCard = () => one(".slot > .card") ?? one("article.card[data-id]");
const rowOf = (id) => id && document.getElementById(id);

function choose(row, focus = true) {
  if (!row) return;
  chosen?.classList.remove("on");
  chosen = row;
  row.classList.add("on");
  if (focus) (one(".row-title", row) ?? row).focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function step(by, fits = () => true) {
  const list = rows();
  let at = list.indexOf(chosen);
  if (at < 0) at = by > 0 ? -1 : list.length;
  do at += by; while (list[at] && !fits(list[at]));
  if (list[at]) choose(list[at]);
}

function shut() {
  const card = one(".slot > .card");
  card?.remove();
  return Boolean(card);
}

async function unfold(row) {
  if (one(".slot > .card", row)) return one(".slot > .card", row);
  shut();
  choose(row);
  const fresh = one("article.card", await page(`/h/${encodeURIComponent(row.dataset.id)}`));
  if (!fresh || chosen !== row) return null;
  const card = document.importNode(fresh, true);
  one(".slot", row).replaceChildren(card);
  row.scrollIntoView({ block: "start" });
  watch(card);
  tick();
  return card;
}

const states = {
  approved: "approved", forwarding: "running", executed: "approved, and it ran", failed: "approved, and it failed", denied: "denied",
  expired: "expired: denied", abandoned: "the agent went away", superseded: "changed: not run", unknown: "not known whether it ran",
};

function settle(id, state) {
  const row = rowOf(id);
  if (row) {
    row.classList.add("gone");
    one("input", row)?.remove();
    one(".row-end", row).replaceChildren(make("b", states[state] ?? state));
    one(".slot", row).replaceChildren();
    count();
  } else if (cards(id)[0]) {
    location.reload();
  }
}

/* Decisions */
const seen = (at) => ({ version: Number(at.dataset.version), call_digest: at.dataset.digest });

async function touch(challenge, party, ids) {
  const found = await navigator.credentials.get({ publicKey: {
    challenge: unbase64(challenge), rpId: party, userVerification: "required",
    allowCredentials: ids.map((id) => ({ type: "public-key", id: unbase64(id) })),
  } });
  const answer = found.response;
  return {
    id: base64(found.rawId), client_data: base64(answer.clientDataJSON),
    authenticator_data: base64(answer.authenticatorData), signature: base64(answer.signature),
  };
}

async function decide(card, decision) {
  const path = hold(card.dataset.id);
  const said = { ...seen(card), ...decision };
  const byPasskey = async () => {
    const draft = await send(`${path}/draft`, said);
    const passkey = await touch(draft.challenge, draft.rp_id, [draft.credential]);
    return send(`${path}/decision`, { draft: draft.draft, passkey });
  };
  try {
    const lets = decision.decision === "approve" || decision.decision === "edit";
    if (lets && card.dataset.needs === "passkey") return await byPasskey();
    return await send(`${path}/decision`, said);
  } catch (error) {
    if (error.answer?.needs === "passkey") return byPasskey();
    spoil(card, error);
    throw error;
  }
}
function spoil(card, { status }) {
  if (status === 409 || status === 410) { card.dataset.stale = "1"; ready(card); }
}

function done(card, answer, words) {
  if (answer.state === "pending") {
    say(`${words} Others are needed as well.`);
    if (rowOf(card.dataset.id)) { shut(); refresh(card.dataset.id); } else location.reload();
    return;
  }
  say(words);
  const row = rowOf(card.dataset.id);
  settle(card.dataset.id, answer.state);
  if (row) step(1, (next) => !next.classList.contains("gone"));
}

async function approve(card) {
  const lacks = missing(card);
  if (lacks) {
    say(lacks);
    const typed = field("typed", card);
    if (looks.get(card)?.since && !looks.get(card).ended) one(".card-end", card).scrollIntoView({ block: "end" });
    else if (typed && typed.value !== card.dataset.typed) typed.focus();
    return;
  }
  if (card.dataset.busy) return;
  card.dataset.busy = "1";
  try {
    done(card, await decide(card, { decision: "approve" }), "Approved: it runs once, as shown.");
  } catch (error) {
    say(error.message);
  } finally {
    delete card.dataset.busy;
  }
}

/* The first press shows the call and points at the button; the second one decides. */
async function pressApprove() {
  const row = chosen?.matches("li.row") ? chosen : null;
  const there = row ? one(".slot > .card", row) : openCard();
  const card = there ?? (row && await unfold(row));
  const button = card && allowed(card);
  if (!button) return;
  if (there && button.classList.contains("sure")) return approve(card);
  button.classList.add("sure");
  button.focus({ preventScroll: true });
  one(".armed", card).textContent = "Press a again to approve.";
}

/* A denial goes out after a moment, so that a slip can be taken back. */
const GRACE = 4000;
let slip = null;
async function deny(card, reason, sticky) {
  if (card.dataset.busy) return;
  const path = hold(card.dataset.id, "/decision");
  const words = () => JSON.stringify({ ...seen(card), decision: "deny", reason, sticky });
  // Signed before it counts down: a page that is being left has no time for it.
  const first = words();
  let headers;
  card.dataset.busy = "1";
  try { headers = await signed(path, first); } catch (error) { return say(error.message); } finally { delete card.dataset.busy; }
  flush();
  slip = { card, timer: setTimeout(flush, GRACE), send: async () => {
    try {
      const body = words();
      if (body !== first) headers = await signed(path, body);
      const answer = await told(await fetch(path, { method: "POST", headers, body, keepalive: true }));
      done(card, answer, "Denied. The agent is told why.");
    } catch (error) { spoil(card, error); say(error.message); }
  } };
  drawer(card, "");
  card.classList.add("leaving");
  say("Denied in 4 seconds.", make("button", "Take it back (u)", { act: "undo" }));
}
function flush() {
  if (!slip) return;
  clearTimeout(slip.timer);
  const { send: go } = slip;
  slip = null;
  go();
}
function undo() {
  if (!slip) return say("Nothing can be taken back any more.");
  clearTimeout(slip.timer);
  slip.card.classList.remove("leaving");
  slip = null;
  say("Not denied: it still waits.");
}

/* Drawers */
function drawer(at, name) {
  let open = null;
  for (const found of all("[data-drawer]", at)) {
    found.hidden = found.dataset.drawer !== name || !found.hidden;
    if (!found.hidden) open = found;
  }
  open?.scrollIntoView({ block: "nearest" });
  (open && one("[data-reason], [data-word], textarea, select, input", open))?.focus();
  return open;
}

async function openEdit(card) {
  const open = drawer(card, "edit");
  if (!open || open.dataset.filled) return;
  try {
    const { arguments: raw } = await read(hold(card.dataset.id, "/arguments"));
    open.dataset.filled = "1";
    const whole = field("arguments", open), message = field("message", open);
    const value = JSON.parse(raw);
    // What would hide is written as JSON can write it: it stays the same value.
    const unit = (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
    whole.value = JSON.stringify(value, null, 2).replace(hidden, (c) => c === "\n" ? c : c.split("").map(unit).join(""));
    const words = message && pointed(value, message.dataset.pointer);
    if (message && (typeof words !== "string" || plain(words) !== words)) one("[data-message]", open).remove();
    else if (message) message.value = message.dataset.before = words;
  } catch (error) { complain(error, open); }
}
const steps = (pointer) => pointer.split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
const pointed = (value, pointer) => steps(pointer).reduce((at, name) => at?.[name], value);

async function sendEdit(card, open) {
  try {
    let text = field("arguments", open).value;
    const message = field("message", open);
    const value = JSON.parse(text);
    if (message && message.value !== message.dataset.before) {
      const path = steps(message.dataset.pointer), last = path.pop();
      path.reduce((at, name) => at[name], value)[last] = message.value;
      text = JSON.stringify(value);
    }
    const lacks = missing(card);
    if (lacks) throw new Error(lacks);
    done(card, await decide(card, { decision: "edit", edited_args: text }), "Approved as edited: the agent is told.");
  } catch (error) {
    complain(error instanceof SyntaxError ? new Error(`This is no JSON: ${plain(error.message)}`) : error, open);
  }
}

const wish = (open) => {
  const uses = field("uses", open).value;
  return { scope: field("scope", open).value, for_ms: Number(field("for", open).value) * 1000, uses: uses ? Number(uses) : null };
};
async function preview(card, open) {
  try {
    const shown = await send(hold(card.dataset.id, "/similar/preview"), wish(open));
    const past = shown.holds.length;
    one("[data-preview]", open).replaceChildren(
      make("p", plain(shown.words)),
      make("p", past ? `In the last 7 days it would have let pass ${past} of the calls that waited.` : "In the last 7 days no other call that waited would have matched."),
      make("div", plain(shown.toml)),
    );
    one("[data-preview] > div", open).className = "code";
    one("[data-error]", open).hidden = true;
  } catch (error) { complain(error, open); }
}

/* Many at once: within one group, and never in a crisis */
const picked = () => all(".pick input:checked").map((box) => box.closest("li.row"));
function count() {
  const place = one("#batch");
  if (!place) return;
  const chosenRows = picked();
  place.hidden = !chosenRows.length;
  one("#batch-count").textContent = `${chosenRows.length} selected`;
  for (const button of all(".sure", place)) calm(button);
}
function pick(box) {
  const group = box.closest("li.row").dataset.group;
  for (const other of picked()) if (other.dataset.group !== group) one("input", other).checked = false;
  count();
}
async function batch(decision, reason) {
  const holds = picked().map((row) => ({ id: row.dataset.id, ...seen(row) }));
  if (!holds.length) return;
  try {
    const { results } = await send("/op/v1/holds/batch", { holds, decision, ...(reason ? { reason } : {}) });
    const failed = results.filter((result) => result.problem);
    for (const result of results) if (!result.problem && result.state !== "pending") settle(result.id, result.state);
    const settled = results.length - failed.length;
    say(`${settled} ${decision === "approve" ? "approved" : "denied"}.${failed.length ? ` ${failed.length} not: ${plain(failed[0].problem.detail)}` : ""}`);
  } catch (error) { say(error.message); }
}

/* What cannot be taken back is pressed twice. */
function twice(button) {
  if (button.classList.contains("sure")) return calm(button), true;
  button.dataset.words = button.textContent;
  button.classList.add("sure");
  button.textContent = `${button.textContent}: sure?`;
  button.addEventListener("blur", () => calm(button), { once: true });
  return false;
}
function calm(button) {
  if (!button.dataset.words) return;
  button.textContent = button.dataset.words;
  button.classList.remove("sure");
  delete button.dataset.words;
}

async function change(path, value, button) {
  try {
    await send(path, value);
    location.reload();
  } catch (error) { complain(error, button?.closest("form, .review")); }
}

/* Reviews */
const ends = { accept: "accepted", revert: "taken back", flag: "flagged: the next ones wait", stop: "stopped: it never runs" };
async function judge(button) {
  const item = button.closest(".review"), { word } = button.dataset, { plan, review } = item.dataset;
  if (item.dataset.busy || button.dataset.twice !== undefined && !twice(button)) return;
  item.dataset.busy = "1";
  try {
    const body = word === "revert" ? { plan } : "group" in button.dataset ? { group: true } : {};
    const answer = await send(`/op/v1/reviews/${encodeURIComponent(review)}/${word}`, body);
    if (word === "revert" && answer.result !== "reverted") throw new Error(plain(answer.said));
    for (const id of answer.accepted ?? [review]) leave(rowOf(id), ends[word]);
    if (item === chosen) step(1, (next) => !next.classList.contains("gone"));
  } catch (error) {
    complain(error, item);
    say("Nothing was done.", make("button", "Look at it again", { act: "reload" }));
  } finally {
    delete item.dataset.busy;
  }
}
function leave(item, words) {
  if (!item) return;
  drawer(item, "");
  item.classList.add("gone");
  one(".buttons", item).replaceChildren(make("b", words));
}
/* Only what others did is news. */
async function queue() {
  const { reviews } = await read("/op/v1/reviews").catch(() => ({}));
  const list = one("ol.reviews"), shown = all(".review:not(.gone, [data-busy])", list);
  if (!reviews || one(".review[data-busy]", list)) return;
  const there = new Set(reviews.map(({ id, version }) => `${id} ${version}`));
  if (reviews.length !== shown.length + Number(list.dataset.more) || shown.some(({ id, dataset }) => !there.has(`${id} ${dataset.version}`)))
    announce("review", "the queue changed");
}

/* Signing in */
const label = () => {
  const [name] = /Firefox|Edg|Chrome|Safari/.exec(navigator.userAgent) ?? ["Browser"];
  return `${name} on ${navigator.platform || "this device"}`.slice(0, 64);
};
async function enter(path, value, form) {
  try {
    const key = await makeKey();
    await send(path, { ...value, label: label(), key: { algorithm: key.algorithm, public: key.open } }, key, "");
    await shelf((keys) => keys.put(key, "key"));
    const next = new URL(one("#pair")?.dataset.next || "/", location.origin);
    location.replace(next.origin === location.origin && next.pathname !== "/pair" ? next.href : "/");
  } catch (error) { complain(error, form); }
}
async function signIn(form) {
  try {
    const response = await fetch("/op/v1/session/challenge", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
    const { challenge, rp_id: party } = await told(response);
    await enter("/op/v1/session", { passkey: await touch(challenge, party, []) }, form);
  } catch (error) { complain(error, form); }
}
async function addPasskey() {
  try {
    const wanted = await send("/op/v1/passkeys/challenge", {});
    const challenge = unbase64(wanted.challenge);
    const proof = wanted.exclude.length ? await touch(wanted.challenge, wanted.rp.id, wanted.exclude) : undefined;
    const made = await navigator.credentials.create({ publicKey: {
      challenge, rp: wanted.rp,
      user: { id: unbase64(wanted.user.id), name: wanted.user.name, displayName: wanted.user.name },
      pubKeyCredParams: wanted.algorithms.map((alg) => ({ type: "public-key", alg })),
      excludeCredentials: wanted.exclude.map((id) => ({ type: "public-key", id: unbase64(id) })),
      authenticatorSelection: { residentKey: "preferred", userVerification: "required" }, attestation: "none",
    } });
    const registration = { id: base64(made.rawId), client_data: base64(made.response.clientDataJSON), attestation_object: base64(made.response.attestationObject) };
    await send("/op/v1/passkeys", { label: label(), registration, ...(proof ? { proof } : {}) });
    location.reload();
  } catch (error) { say(error.message); }
}

/* Simulator */
async function simulate(form, question) {
  one("[data-error]", form).hidden = true;
  const draft = field("draft", form).value;
  try {
    const answer = one("#sim-answer", await page("/op/v1/policy/simulate", { ...(draft.trim() ? { draft } : {}), ...question }));
    one("#sim-answer").replaceChildren(...document.importNode(answer, true).childNodes);
  } catch (error) { complain(error, form); }
}

/* What happens meanwhile */
let newcomers = 0, asking = 0;
const notes = new Map();
function announce(what, text) {
  notes.set(what, text);
  const said = `${[...notes.values()].join(", ")}: show`;
  const place = one("#news");
  if (!place) return say(said, make("button", "Show", { act: "reload" }));
  place.hidden = false;
  one("button", place).textContent = said;
}
async function figures() {
  clearTimeout(asking);
  asking = setTimeout(async () => {
    const { pending } = await read("/op/v1/figures").catch(() => ({}));
    if (pending === undefined) return;
    const badge = one("#waiting");
    if (badge) { badge.textContent = pending; badge.hidden = !pending; }
    document.title = `${pending ? `(${pending}) ` : ""}${facts.page} · Herma`;
  }, 200);
}
/* An equal call that joined changes the version and nothing that was shown. */
async function refresh(id) {
  const fresh = await read(hold(id)).catch(() => null);
  if (!fresh) return;
  for (const at of [rowOf(id), ...cards(id)]) {
    if (!at) continue;
    if (at.dataset.digest !== fresh.call_digest || (at.dataset.render ?? fresh.render_digest) !== fresh.render_digest) at.dataset.stale = "1";
    else at.dataset.version = fresh.version;
    const times = one("[data-times]", at);
    if (times && fresh.count > 1) { times.textContent = `×${fresh.count}`; times.hidden = false; }
    const votes = one("[data-votes]", at);
    if (votes) votes.textContent = `${fresh.quorum.have.length} of ${fresh.quorum.need} approvals`;
    if (at.matches(".card")) ready(at);
  }
}
function hear({ id, state, crisis }) {
  figures();
  const known = rowOf(id) ?? cards(id)[0];
  if (known && state !== "pending") return settle(id, state);
  if (known) return refresh(id);
  if (facts.page !== "Inbox" || state !== "pending") return;
  newcomers += 1;
  announce("new", `${newcomers} new${crisis ? ", somebody may be in crisis" : ""}`);
}
function listen() {
  const last = one("[data-last-event]")?.dataset.lastEvent;
  const events = new EventSource(`/op/v1/events${last ? `?since=${last}` : ""}`);
  events.addEventListener("open", () => { root.dataset.live = "1"; });
  events.addEventListener("error", () => { delete root.dataset.live; });
  events.addEventListener("hold", (event) => hear(JSON.parse(event.data)));
  events.addEventListener("freeze", () => announce("freeze", "something was frozen or lifted"));
  events.addEventListener("latch", () => announce("latch", "a crisis began or ended"));
  events.addEventListener("review", () => one("ol.reviews") && location.pathname === "/review" && setTimeout(queue, 300));
  events.addEventListener("reload", () => { figures(); announce("much", "much has happened"); });
  events.addEventListener("signed-out", () => location.reload());
}

/* Presses */
const acts = {
  approve: (button) => approve(cardOf(button)),
  deny: (button) => drawer(cardOf(button), "deny"),
  "deny-now": (button) => {
    const card = cardOf(button), open = drawerOf(button);
    const reason = button.dataset.reason ?? field("reason", open).value;
    deny(card, reason, field("sticky", open).checked);
  },
  edit: (button) => openEdit(cardOf(button)),
  "edit-now": (button) => sendEdit(cardOf(button), drawerOf(button)),
  similar: (button) => {
    const card = cardOf(button), open = drawer(card, "similar");
    if (open) preview(card, open);
  },
  "similar-now": async (button) => {
    const card = cardOf(button), open = drawerOf(button);
    try {
      const lacks = missing(card);
      if (lacks) throw new Error(lacks);
      const made = await send(hold(card.dataset.id, "/similar"), { ...seen(card), rule: wish(open) });
      done(card, made.hold, "Approved, and similar calls pass for a while.");
    } catch (error) { complain(error, open); }
  },
  escalate: (button) => drawer(cardOf(button), "escalate"),
  "escalate-now": async (button) => {
    const card = cardOf(button), open = drawerOf(button);
    try {
      done(card, await decide(card, { decision: "escalate", reason: one("textarea", open).value }), "Escalated.");
    } catch (error) { say(error.message); }
  },
  shut: (button) => drawer(cardOf(button), ""),
  undo,
  pick,
  "batch-approve": (button) => twice(button) && batch("approve"),
  "batch-deny": (button) => twice(button) && batch("deny", "A person denied this together with others like it."),
  reload: () => { if (chosen) sessionStorage.setItem("herma-at", chosen.id); location.reload(); },
  // A change that the server has written out beside its button.
  post: (button) => {
    const { post, body, twice: again } = button.dataset, { form } = button;
    if (form && !form.reportValidity() || again !== undefined && !twice(button)) return;
    const value = JSON.parse(body ?? "{}");
    for (const [name, text] of form ? new FormData(form) : []) value[name] = text;
    change(post, value, button);
  },
  "freeze-one": (button) => {
    const { scope, what } = button.form.elements;
    if (button.form.reportValidity()) change("/op/v1/freeze", { what: `${scope.value}:${what.value.trim()}` }, button);
  },
  judge,
  revert: (button) => drawer(button.closest(".review"), "revert"),
  "shut-review": (button) => drawer(button.closest(".review"), ""),
  "simulate-call": (button) => {
    try {
      simulate(button.form, { call: JSON.parse(field("call", button.form).value) });
    } catch (error) { complain(new Error(`The call is no JSON: ${plain(error.message)}`), button.form); }
  },
  "simulate-replay": (button) => simulate(button.form, { days: Number(field("days", button.form).value) }),
  query: (button) => {
    const asked = new URLSearchParams([...new FormData(button.form)].filter(([, value]) => value));
    location.assign(`/log?${asked}`);
  },
  pair: (button) => {
    const { code, name } = button.form.elements;
    if (button.form.reportValidity()) enter("/op/v1/pair", { code: code.value.toUpperCase().replace(/[^A-Z0-9]/g, ""), name: name.value.trim() }, button.form);
  },
  "sign-in": () => signIn(one("#pair")),
  passkey: addPasskey,
  "sign-out": async () => {
    await send("/op/v1/session/end", {}).catch((error) => say(error.message));
    await shelf((keys) => keys.delete("key"));
    location.replace("/");
  },
  keys: () => one("#keys").showModal(),
  close: (button) => button.closest("dialog").close(),
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button || button.matches("input")) return;
  event.preventDefault();
  acts[button.dataset.act]?.(button);
});
document.addEventListener("change", (event) => {
  const { target } = event;
  if (target.dataset.act === "pick") pick(target);
  if (target.closest('[data-drawer="similar"]') && target.matches("select")) preview(target.closest(".card"), target.closest("[data-drawer]"));
});
document.addEventListener("submit", (event) => {
  event.preventDefault();
  one("[data-act]", event.target)?.click();
});
document.addEventListener("focusin", (event) => {
  const row = event.target.closest("li.row, [data-row]");
  if (row && row !== chosen) choose(row, false);
});
document.addEventListener("visibilitychange", () => document.hidden && flush());
addEventListener("pagehide", flush);

/* Keys */
let leading = 0;
const press = (act) => {
  const at = chosen?.matches("[data-review]") ? chosen : openCard();
  const button = at && one(`[data-act="${act}"], [data-key="${act}"]`, at);
  if (button) acts[button.dataset.act](button);
};
async function onCard(act) {
  const card = chosen?.matches("li.row") ? await unfold(chosen) : openCard();
  if (card) press(act);
}
const keys = {
  j: () => step(1), k: () => step(-1), a: pressApprove,
  n: () => step(1, (row) => row.dataset.flagged !== undefined), p: () => step(-1, (row) => row.dataset.flagged !== undefined),
  d: () => onCard("deny"), e: () => onCard("edit"), s: () => onCard("similar"), u: undo,
  x: () => { const box = chosen && one(".pick input", chosen); if (box) { box.checked = !box.checked; pick(box); } },
  y: () => press("accept"), r: () => press("revert"), f: () => press("flag"),
  "/": () => one("#filter")?.focus(), "?": acts.keys,
  Enter: () => chosen && !openCard() && one("a.row-title", chosen)?.click(),
  Escape: () => {
    const open = one("[data-drawer]:not([hidden])");
    if (open) open.hidden = true; else if (shut()) choose(chosen);
  },
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const { target, key } = event;
  const typing = target.matches("textarea, select, input:not([type=checkbox])");
  if (typing) {
    if (key === "Escape") { target.blur(); keys.Escape(); }
    if (key === "Enter" && target.name === "typed") { event.preventDefault(); approve(target.closest(".card")); }
    return;
  }
  if (one("dialog[open]")) return;
  const open = one('[data-drawer="deny"]:not([hidden])');
  const preset = open && all("[data-reason]", open)[Number(key) - 1];
  if (preset) { event.preventDefault(); return acts["deny-now"](preset); }
  if (leading && Date.now() - leading < 1500) {
    leading = 0;
    const to = one(`[data-go="${CSS.escape(key)}"]`);
    if (to) { event.preventDefault(); return location.assign(to.href); }
  }
  if (key === "g") { leading = Date.now(); return; }
  if (key === "Enter" && target.closest("button, a, summary, input")) return;
  if (keys[key] && facts.session) { event.preventDefault(); keys[key](); }
});

one("#filter")?.addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const row of all("li.row, [data-row]")) row.hidden = !row.textContent.toLowerCase().includes(wanted);
});

/* Begin */
tick();
setInterval(tick, 1000);
for (const card of all("article.card[data-id]")) watch(card);
choose(rowOf(sessionStorage.getItem("herma-at")), true);
sessionStorage.removeItem("herma-at");
if (facts.session) listen();
root.dataset.ready = "1";

// A link from another site brings no cookie along; from here on this page asks itself. Once, lest it go round.
if (one("#pair") && sessionStorage.getItem("herma-through") !== location.href) {
  fetch("/op/v1/me").then(({ ok }) => {
    if (!ok) return;
    sessionStorage.setItem("herma-through", location.href);
    location.replace(location.pathname === "/pair" ? "/" : location.href);
  }).catch(() => {});
}
