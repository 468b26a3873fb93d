// The way to the edge: the token, one call, and what goes on as server-sent events.
//
// The token is in this tab's session storage and nowhere else: a cookie would be sent to every port of this host, and
// so to guests that the same edge serves there. It travels in Authorization, which no other origin can send.

const KEY = "nunatak-token";
const PREFIX = "/-/";
const AGAIN_MS = [500, 1000, 2000, 5000, 10000];

export class Refused extends Error {
  constructor(status, reason) {
    super(reason ? `${status}, ${reason}` : `${status}`);
    this.status = status;
    this.reason = reason;
  }
}

export const keep = (token) => sessionStorage.setItem(KEY, token);
export const forget = () => sessionStorage.removeItem(KEY);

function headers(token) {
  const shown = token ?? sessionStorage.getItem(KEY);
  return shown ? { Authorization: `Bearer ${shown}` } : {};
}

async function ask(page, options = {}, token = null) {
  const answer = await fetch(PREFIX + page, {
    ...options, headers: headers(token), cache: "no-store", credentials: "omit", redirect: "error",
  });
  if (!answer.ok) throw new Refused(answer.status, answer.headers.get("X-Nunatak-Error") ?? "");
  return answer;
}

// A page in JSON. Whole numbers that JavaScript would round, as registers are, come as texts where the browser can.
export const get = async (page, token = null) => JSON.parse(await (await ask(page, {}, token)).text(), exact);

const exact = (_, value, about) =>
  (Number.isInteger(value) && !Number.isSafeInteger(value) && about?.source ? about.source : value);

// An order, when it is done.
export const order = async (name, query = {}) =>
  (await ask(`${name}?${new URLSearchParams(query)}`, { method: "POST" })).json();

// The session's token for the key of a link, which is good once.
export const exchange = async (key) => (await (await ask("session", { method: "POST" }, key)).json()).token;

// Follows a page until `signal` ends it; whatever breaks is begun again after a while.
// `heard(event, data)` gets each event, `broken(error)` why there is none; a 401 or 400 is told and ends it.
export async function follow(page, signal, heard, broken) {
  let failures = 0;
  while (!signal.aborted) {
    try {
      const answer = await ask(page, { signal });
      for await (const [name, data] of events(answer.body)) {
        if (signal.aborted) return;
        failures = 0;
        heard(name, data);
      }
      throw new Error("the edge ended the connection");
    } catch (error) {
      if (signal.aborted) return;
      broken(error);
      if (error instanceof Refused && [400, 401, 403].includes(error.status)) return;
      await new Promise((done) => setTimeout(done, AGAIN_MS[Math.min(failures++, AGAIN_MS.length - 1)]));
    }
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
        const fields = Object.fromEntries(text.slice(0, end).split("\n").map(field));
        if (fields.data) yield [fields.event, JSON.parse(fields.data)];
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function field(line) {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
}
