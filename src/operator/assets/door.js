// Coming in and going out, passkeys, and the settings.
import { acts, base64, complain, one, say, send, shelf, told, touch, unbase64 } from "/assets/herma.js";

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

Object.assign(acts, {
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
  "freeze-one": async ({ form }) => {
    const { scope, what } = form.elements;
    if (!form.reportValidity()) return;
    try {
      await send("/op/v1/freeze", { what: `${scope.value}:${what.value.trim()}` });
      location.reload();
    } catch (error) { complain(error, form); }
  },
});

// A link from another site brings no cookie along; from here on this page asks itself. Once, lest it go round.
if (one("#pair") && sessionStorage.getItem("herma-through") !== location.href) {
  fetch("/op/v1/me").then(({ ok }) => {
    if (!ok) return;
    sessionStorage.setItem("herma-through", location.href);
    location.replace(location.pathname === "/pair" ? "/" : location.href);
  }).catch(() => {});
}
