// Calls that ran because they can be undone.
import { acts, all, announce, chosen, complain, drawer, heard, make, one, plain, read, rowOf, say, send, step, twice } from "/assets/herma.js";

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
heard.review = () => location.pathname === "/review" && setTimeout(queue, 300);
async function queue() {
  const { reviews } = await read("/op/v1/reviews").catch(() => ({}));
  const list = one("ol.reviews"), shown = all(".review:not(.gone, [data-busy])", list);
  if (!reviews || one(".review[data-busy]", list)) return;
  const there = new Set(reviews.map(({ id, version }) => `${id} ${version}`));
  if (reviews.length !== shown.length + Number(list.dataset.more) || shown.some(({ id, dataset }) => !there.has(`${id} ${dataset.version}`)))
    announce("review", "the queue changed");
}

Object.assign(acts, {
  judge,
  revert: (button) => drawer(button.closest(".review"), "revert"),
  "shut-review": (button) => drawer(button.closest(".review"), ""),
});
