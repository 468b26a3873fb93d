// The console: who may see it, what it shows, and what the keyboard does.

import * as door from "./door.js";
import { $, text } from "./draw.js";
import { drawEdge, state } from "./edge.js";
import { drawServices, headings, markOrder } from "./services.js";
import { look, openService, shownName } from "./service.js";

const LIMIT = 50;
const TYPING_MS = 250;

// What is looked at, as it stands behind the # of the address, so that a reload comes back to it.
const query = { match: "", only: "", sort: "rate", offset: "0" };
let following = null;
let paused = false;
let typing = 0;

const ORDERS = {
  park: ["Park", "Its machine leaves memory and is kept as a record. The next request wakes it."],
  restart: ["Restart", "What its machine remembers is gone; requests under way are finished. The next request starts from the image."],
  hold: ["Hold", "It does not run until it is released, also after a restart of the edge. Requests are answered with 503, on_hold; WebSockets are closed."],
  release: ["Release", "It runs again with the next request."],
  drain: ["Drain the edge", "Requests under way are finished, all machines are parked on disk, and the edge ends. It serves nothing until it is started again."],
};

// Getting in.

async function begin() {
  const given = new URLSearchParams(location.hash.slice(1));
  let why = "";
  if (given.has("key")) {
    history.replaceState(null, "", location.pathname);
    try {
      door.keep(await door.exchange(given.get("key")));
    } catch {  // unless this tab knows the token still
      why = "This link has been used, or its console has ended. Enter in its terminal prints another.";
    }
  } else {
    for (const name of Object.keys(query)) if (given.has(name)) query[name] = given.get(name);
  }
  try {
    await door.get("view?limit=1");
  } catch (error) {
    return askForToken(error.status === 401 ? why : `The edge does not answer: ${error.message}`);
  }
  enter(given.get("service"));
}

function askForToken(why) {
  following?.abort();
  state("not connected");
  for (const id of ["main", "tools"]) $(id).hidden = true;
  $("login").hidden = false;
  text($("refused"), why);
  $("token").focus();
}

async function logIn(event) {
  event.preventDefault();
  const token = $("token").value.trim();
  try {
    await door.get("view?limit=1", token);
  } catch (error) {
    return text($("refused"), error.status === 401 ? "That is not the token." : `Refused: ${error.message}`);
  }
  $("token").value = "";
  door.keep(token);
  enter(null);
}

function enter(service) {
  $("login").hidden = true;
  for (const id of ["main", "tools"]) $(id).hidden = false;
  for (const id of ["match", "only", "sort"]) $(id).value = query[id];
  watch();
  if (service) open(service);
}

// Looking.

function watch() {
  following?.abort();
  markOrder(query.sort);
  remember();
  if (paused) return;
  following = new AbortController();
  const asked = new URLSearchParams({ ...query, limit: LIMIT });
  door.follow(`feed?${asked}`, following.signal, hear, broken);
}

function hear(event, view) {
  if (event !== "view") return;
  if (!view.services.length && view.query.offset > 0) return change({ offset: "0" });
  drawEdge(view.edge, open);
  drawServices(view, open);
  look();
}

function broken(error) {
  if (error instanceof door.Refused && error.status === 401) {
    door.forget();
    return askForToken("The edge asks for another token.");
  }
  state(`not connected: ${error.message}`, "bad");
}

function change(what) {
  Object.assign(query, { offset: "0" }, what);
  watch();
}

function turn(pages) {
  const offset = Math.max(0, Number(query.offset) + pages * LIMIT);
  if (!$(pages < 0 ? "previous" : "next").disabled) change({ offset: String(offset) });
}

function remember() {
  const [kept, service] = [new URLSearchParams(), shownName()];
  for (const [name, value] of Object.entries({ ...query, service: service ?? "" })) if (value && value !== "0") kept.set(name, value);
  history.replaceState(null, "", `${location.pathname}#${kept}`);
}

function open(name) {
  openService(name, remember);
  remember();
}

function pause() {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  text($("pause"), paused ? "Go on" : "Pause");
  if (paused) state("paused");
  watch();
}

// Orders.

function ask(order, service) {
  const [name, what] = ORDERS[order];
  text($("confirm-title"), service ? `${name} ${service}?` : `${name}?`).classList.add("theirs");
  text($("confirm-text"), what);
  text($("confirm-yes"), name);
  $("confirm").returnValue = "no";
  $("confirm").onclose = () => $("confirm").returnValue === "yes" && give(order, service);
  $("confirm").showModal();
}

async function give(order, service) {
  const whom = service ? ` ${service}` : "";
  try {
    await door.order(order, service ? { service } : {});
    say(`${ORDERS[order][0]}${whom}: done.`);
  } catch (error) {
    say(`${ORDERS[order][0]}${whom}: refused: ${error.message}.`);
  }
  look();
}

function say(words) {
  text($("said"), words).hidden = false;
  setTimeout(() => text($("said"), "").hidden = true, 15000);
}

// What people do.

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const tag = document.activeElement?.tagName;
  if (["INPUT", "SELECT", "TEXTAREA"].includes(tag) || $("main").hidden) return;
  const acts = { "/": () => $("match").focus(), j: () => step(1), k: () => step(-1), n: () => turn(1), p: () => turn(-1), "?": () => $("keys").showModal() };
  if (tag !== "BUTTON") acts[" "] = pause;
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function step(by) {
  const links = [...$("rows").querySelectorAll(".open")];
  const place = links.indexOf(document.activeElement);
  links[place < 0 ? 0 : Math.min(Math.max(place + by, 0), links.length - 1)]?.focus();
}

function listen() {
  $("login").addEventListener("submit", logIn);
  $("search").addEventListener("submit", (event) => event.preventDefault());
  $("match").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ match: $("match").value }), TYPING_MS);
  });
  $("only").addEventListener("change", () => change({ only: $("only").value }));
  $("sort").addEventListener("change", () => change({ sort: $("sort").value }));
  headings((sort) => {
    $("sort").value = sort;
    change({ sort });
  });
  $("previous").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  $("pause").addEventListener("click", pause);
  $("help").addEventListener("click", () => $("keys").showModal());
  $("leave").addEventListener("click", () => {
    door.forget();
    askForToken("");
  });
  $("drain").addEventListener("click", () => ask("drain", null));
  for (const order of ["park", "restart", "hold", "release"]) $(order).addEventListener("click", () => ask(order, shownName()));
  $("close").addEventListener("click", () => $("service").close());
  document.addEventListener("keydown", key);
}

listen();
begin();
