// What every page needs: keys, countdowns, live changes, and changes signed by this browser's own key. What only some
// pages do is in cards.js, reviews.js and door.js.
// Text of agents reaches the page from the server as markup made safe there, or as text nodes; never as HTML here.
const root = document.documentElement, facts = root.dataset;
const one = (selector, at = document) => at.querySelector(selector);
const all = (selector, at = document) => [...at.querySelectorAll(selector)];
// Counted from the server's clock, for the browser's may be wrong.
const skew = Number(facts.now) - Date.now();
const now = () => Date.now() + skew;
const field = (name, at) => one(`[name="${name}"]`, at);

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
  const response = await fetch(path, { method: "POST", headers, body });
  return told(response).catch(async (error) => {
    const { challenge, rp_id: party, credentials } = error.answer ?? {};
    if (!challenge) throw error;
    return send(path, { ...value, passkey: await touch(challenge, party, credentials) });
  });
}

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
    request.onload = () => request.status === 200 ? done(request.response) : fail(new Error((request.response && one("[data-problem]", request.response)?.textContent) || `It failed (${request.status}).`));
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

/* What is asked with a form and answered below it */
const typed = ({ form, dataset: { only } }) => Object.fromEntries([...form?.elements ?? []]
  .filter(({ name, value }) => name && value.trim() && (!only || only.split(" ").includes(name)))
  .map((from) => [from.name, from.matches("[type=number], [data-number]") ? Number(from.value) : from.value]));
async function ask(button, more = {}) {
  const { form } = button, place = `#${form.id}-answer`;
  if (!form.reportValidity()) return;
  one("[data-error]", form).hidden = true;
  try {
    const answer = one(place, await page(button.dataset.post, { ...typed(button), ...more }));
    one(place).replaceChildren(...document.importNode(answer, true).childNodes);
  } catch (error) { complain(error, form); }
}

/* What happens meanwhile */
let asking = 0;
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
/* What the pages of holds and reviews do about it is theirs to say. */
const heard = {};
function listen() {
  const last = one("[data-last-event]")?.dataset.lastEvent;
  const events = new EventSource(`/op/v1/events${last ? `?since=${last}` : ""}`);
  events.addEventListener("open", () => { root.dataset.live = "1"; });
  events.addEventListener("error", () => { delete root.dataset.live; });
  events.addEventListener("hold", (event) => { figures(); heard.hold?.(JSON.parse(event.data)); });
  events.addEventListener("freeze", () => announce("freeze", "something was frozen or lifted"));
  events.addEventListener("latch", () => announce("latch", "a crisis began or ended"));
  events.addEventListener("review", () => heard.review?.());
  events.addEventListener("reload", () => { figures(); announce("much", "much has happened"); });
  events.addEventListener("signed-out", () => location.reload());
}

/* Presses */
const acts = {
  reload: () => { if (chosen) sessionStorage.setItem("herma-at", chosen.id); location.reload(); },
  // A change that the server has written out beside its button.
  post: async (button) => {
    const { post, body, twice: again } = button.dataset, { form } = button;
    if (form && !form.reportValidity() || again !== undefined && !twice(button)) return;
    try {
      const { next } = await send(post, { ...JSON.parse(body ?? "{}"), ...typed(button) });
      next ? location.assign(next) : location.reload();
    } catch (error) { complain(error, button.closest("form, .card, section")); }
  },
  ask: (button) => ask(button),
  "ask-call": (button) => {
    try {
      ask(button, { call: JSON.parse(field("call", button.form).value) });
    } catch (error) { complain(new Error(`The call is no JSON: ${plain(error.message)}`), button.form); }
  },
  query: (button) => button.form.reportValidity() && location.assign(`${button.dataset.to}${new URLSearchParams(typed(button))}`),
  keys: () => one("#keys").showModal(),
  close: (button) => button.closest("dialog").close(),
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button || button.matches("input")) return;
  event.preventDefault();
  acts[button.dataset.act]?.(button);
});
document.addEventListener("submit", (event) => {
  event.preventDefault();
  one("[data-act]", event.target)?.click();
});
document.addEventListener("focusin", (event) => {
  const row = event.target.closest("li.row, [data-row]");
  if (row && row !== chosen) choose(row, false);
});

/* Keys */
let leading = 0;
const press = (act) => {
  const at = chosen?.matches("[data-review]") ? chosen : openCard();
  const button = at && one(`[data-act="${act}"], [data-key="${act}"]`, at);
  if (button) acts[button.dataset.act](button);
};
const keys = {
  j: () => step(1), k: () => step(-1),
  n: () => step(1, (row) => row.dataset.flagged !== undefined), p: () => step(-1, (row) => row.dataset.flagged !== undefined),
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
    if (key === "Enter" && target.name === "typed") { event.preventDefault(); acts.approve(target); }
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
if (facts.session) listen();
// Once the scripts of this page are there as well.
document.addEventListener("DOMContentLoaded", () => {
  choose(rowOf(sessionStorage.getItem("herma-at")), true);
  sessionStorage.removeItem("herma-at");
  root.dataset.ready = "1";
});

export {
  acts, all, announce, base64, calm, choose, chosen, complain, drawer, facts, field, heard, hidden, keys, make, one, openCard, page,
  plain, press, read, rowOf, send, shelf, shut, signed, step, tick, told, touch, twice, unbase64, say,
};
