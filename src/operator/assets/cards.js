// Holds: looked at, decided one by one, together, or with all that are like them.
import {
  acts, all, announce, calm, choose, chosen, complain, drawer, facts, field, heard, hidden, keys, make, one, openCard, page, plain,
  press, read, rowOf, say, send, shut, signed, step, tick, told, touch, twice,
} from "/assets/herma.js";

const hold = (id, what = "") => `/op/v1/holds/${encodeURIComponent(id)}${what}`;
const cardOf = (button) => button.closest(".card"), drawerOf = (button) => button.closest("[data-drawer]");
const cards = (id) => all(`article.card[data-id="${CSS.escape(id)}"]`);
const allowed = (card) => one('[data-act="approve"]', card);

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
const seen = (at) => ({ version: Number(at.dataset.version), call_digest: at.dataset.digest, typed: field("typed", at)?.value });

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
    const { words, told: past, toml } = await send(hold(card.dataset.id, "/similar/preview"), wish(open));
    const code = make("div", plain(toml));
    code.className = "code";
    one("[data-preview]", open).replaceChildren(make("p", plain(words)), make("p", plain(past)), code);
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

/* What happens meanwhile */
let newcomers = 0;
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
heard.hold = ({ id, state, crisis }) => {
  const known = rowOf(id) ?? cards(id)[0];
  if (known && state !== "pending") return settle(id, state);
  if (known) return refresh(id);
  if (facts.page !== "Inbox" || state !== "pending") return;
  newcomers += 1;
  announce("new", `${newcomers} new${crisis ? ", somebody may be in crisis" : ""}`);
};

/* Presses and keys */
Object.assign(acts, {
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
      const { version, call_digest } = seen(card);
      const made = await send(hold(card.dataset.id, "/similar"), { version, call_digest, rule: wish(open) });
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
});
async function onCard(act) {
  const card = chosen?.matches("li.row") ? await unfold(chosen) : openCard();
  if (card) press(act);
}
Object.assign(keys, {
  a: pressApprove, d: () => onCard("deny"), e: () => onCard("edit"), s: () => onCard("similar"), u: undo,
  x: () => { const box = chosen && one(".pick input", chosen); if (box) { box.checked = !box.checked; pick(box); } },
});
document.addEventListener("change", ({ target }) => {
  if (target.dataset.act === "pick") pick(target);
  if (target.closest('[data-drawer="similar"]') && target.matches("select")) preview(cardOf(target), drawerOf(target));
});
document.addEventListener("visibilitychange", () => document.hidden && flush());
addEventListener("pagehide", flush);
for (const card of all("article.card[data-id]")) watch(card);
