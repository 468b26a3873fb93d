// The table of services. A row belongs to a service for as long as that is on the page, so the focus stays with it.

import { $, bytes, count, fill, make, ms, percent, put, rate, text, theirs } from "./draw.js";

const LABELS = ["Service", "Tier", "Req/s", "p50 ms", "p99 ms", "Hits", "Memory", "Requests", "Waiting", "Crashes", "Worker",
  "Version"];

export function drawServices(view, open) {
  const [body, focused] = [$("rows"), document.activeElement];
  const known = new Map([...body.children].map((row) => [row.dataset.service, row]));
  fill(body, view.services.map((entry) => drawRow(known.get(entry.service) ?? newRow(entry.service, open), entry)));
  if (body.contains(focused) && document.activeElement !== focused) focused.focus({ preventScroll: true });
  drawRange(view);
}

function newRow(name, open) {
  const [row, link] = [make("tr"), theirs(name, "button")];
  row.dataset.service = name;
  link.type = "button";
  link.classList.add("open");
  link.setAttribute("aria-haspopup", "dialog");
  link.addEventListener("click", () => open(name));
  LABELS.forEach((label, column) => {
    const cell = make("td", "", column > 1 ? "number" : "");
    cell.dataset.label = label;
    row.append(cell);
  });
  row.firstElementChild.append(link);
  return row;
}

function drawRow(row, entry) {
  const cells = row.children;
  tags(cells[1], entry);
  const values = [rate(entry.rate), ms(entry.p50_ms), ms(entry.p99_ms), percent(entry.hits),
    bytes(entry.resident_bytes || entry.parked_bytes), count(entry.requests), count(entry.waiting), count(entry.crashes),
    entry.worker ?? "–", count(entry.version)];
  values.forEach((value, place) => text(cells[place + 2], value));
  cells[8].classList.toggle("warn", entry.waiting > 0);
  cells[9].classList.toggle("bad", entry.crashes > 0);
  return row;
}

// Where its machine is, and what is out of the ordinary.
export function tags(cell, entry) {
  const words = [[entry.tier, ""]];
  if (![entry.tier, "cold"].includes(entry.state)) words.push([entry.state, entry.state === "backoff" ? "bad" : ""]);
  if (entry.machines > 1) words.push([`${entry.machines} machines`, ""]);
  if (entry.quarantined) words.push(["quarantined", "bad"]);
  if (entry.held_since !== null) words.push(["on hold", "bad"]);
  if (entry.release) words.push([`release ${entry.release.state}`, entry.release.state === "stopped" ? "bad" : ""]);
  if (entry.refused) words.push(["version refused", "bad"]);
  const key = words.join();
  if (cell.dataset.shown === key) return;
  cell.dataset.shown = key;
  put(cell, words.map(([word, kind]) => make("span", word, `tag ${kind}`)));
}

function drawRange({ query, total, services, edge }) {
  const first = query.offset + 1;
  const searched = query.match || query.only;
  text($("range"), services.length ? `${count(first)} to ${count(query.offset + services.length)} of ${count(total)}` : "");
  $("previous").disabled = query.offset === 0;
  $("next").disabled = query.offset + services.length >= total || !services.length;
  $("none").hidden = services.length > 0;
  $("table").hidden = !services.length;
  text($("none"), searched || edge.services ? "No service is like that."
    : "No service has been asked for since the edge started. It meets a service with the first request for it.");
}

// Marks the column that the order goes by, and lets others be chosen.
export function headings(choose) {
  for (const heading of document.querySelectorAll("th[data-sort]")) {
    const button = make("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => choose(heading.dataset.sort));
    heading.append(button);
  }
}

export function markOrder(sort) {
  for (const heading of document.querySelectorAll("th[data-sort]")) {
    if (heading.dataset.sort === sort) heading.setAttribute("aria-sort", sort === "name" ? "ascending" : "descending");
    else heading.removeAttribute("aria-sort");
  }
}
