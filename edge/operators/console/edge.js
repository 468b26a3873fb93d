// The edge itself: its health, its figures, its workers, its catalogue, the last crashes.

import { $, bytes, clock, count, facts, fill, make, moment, ms, percent, put, rate, span, text, theirs } from "./draw.js";

const SOON_S = 60 * 86400;  // as `vmimage.renewal` warns

export function drawEdge(edge, open) {
  text($("version"), edge.version);
  const ills = edge.draining ? ["draining", ...edge.health] : edge.health;
  state(ills.length ? `${ills.length === 1 ? "not well" : `${ills.length} things are not well`}` : "ok", ills.length ? "bad" : "good");
  fill($("ills"), ills.map((line, place) => text($("ills").children[place] ?? make("li", "", "theirs"), line)));
  drawFigures(edge);
  drawWorkers(edge.workers);
  drawCatalogue(edge.catalogue, edge.time);
  drawCrashes(edge.reports, open);
}

export function state(words, kind = "") {
  text($("health"), words);
  $("health").className = `pill ${kind}`;
}

function drawFigures(edge) {
  const [list, memory] = [$("figures"), edge.memory];
  const tiers = Object.entries(edge.by_tier).map(([tier, number]) => `${count(number)} ${tier}`).join(", ") || "none yet";
  const apart = [[edge.held.count, "on hold"], [edge.quarantined, "quarantined"]];
  const more = apart.filter(([number]) => number).map(([number, what]) => `, ${number} ${what}`).join("");
  const of = ([used, most]) => `${bytes(used)} of ${bytes(most)}`;
  const refused = Object.entries(edge.refusals).slice(0, 3).map(([reason, number]) => `${reason} ${count(number)}`);
  const kept = Object.entries(edge.cache).map(([result, number]) => `${result} ${count(number)}`).join(", ");
  const figures = [
    ["Requests/s", rate(edge.rate), `${count(edge.requests)} in all, ${count(edge.waiting)} wait`],
    ["p50 and p99", `${ms(edge.p50_ms)} / ${ms(edge.p99_ms)} ms`, `of the last ${Math.round(edge.window_s)} s`],
    ["Hits", percent(edge.hits), `the image was here; kept answers: ${kept || "none asked for"}`],
    ["Kept answers", bytes(memory.answers[0]), `of ${bytes(memory.answers[1])}; on disk ${of(edge.disk.answers)}`],
    ["Services", count(edge.services), tiers + more],
    ["Machines' memory", bytes(memory.resident[0]), `of ${bytes(memory.resident[1])}`],
    ["Parked in memory", bytes(memory.parked[0]), `of ${bytes(memory.parked[1])}; images ${of(memory.images)}`],
    ["Crashes", count(edge.crashes), "since the start"],
    ["Refused", count(Object.values(edge.refusals).reduce((sum, each) => sum + each, 0)), refused.join(", ") || "nothing"],
  ];
  fill(list, figures.map(([name, value, about], place) => {
    const box = list.children[place] ?? figure();
    text(box.children[0], name);
    text(box.children[1].children[0], value);
    text(box.children[1].children[1], about);
    return box;
  }));
}

function figure() {
  const [box, given] = [make("div"), make("dd")];
  given.append(make("span"), make("small"));
  box.append(make("dt"), given);
  return box;
}

function drawWorkers(workers) {
  const body = $("workers");
  fill(body, workers.map((worker, place) => {
    const row = body.children[place] ?? make("tr");
    const whose = worker.place === "shared" ? "" : ` (${worker.place} ${worker.whose})`;
    const cells = [`${worker.index}${whose}`, count(worker.machines), count(worker.on.unicorn),
      worker.engines.includes("kvm") ? count(worker.on.kvm) : "–", count(worker.streams), bytes(worker.resident_bytes),
      `${worker.cpu_s.toFixed(1)} s`];
    fill(row, cells.map((value, column) => text(row.children[column] ?? make("td", "", column ? "number" : "theirs"), value)));
    return row;
  }));
}

function drawCatalogue(catalogue, now) {
  const ago = catalogue.looked_ago_s;
  const looked = make("span", ago === null ? "never since the start" : `${span(ago)} ago`, ago === null ? "bad" : "");
  const expired = make("span", catalogue.expired ? "past its date: new images are refused" : "valid", catalogue.expired ? "bad" : "");
  const ends = Object.entries(catalogue.expires).map(([role, end]) =>
    [`${role} ends`, make("span", `in ${span(end - now)}, ${moment(end)}`, end - now < SOON_S ? "bad" : "")]);
  facts($("trust"), [["Looked at", looked], ["Catalogue", expired], ...ends]);
}

function drawCrashes(reports, open) {
  if (!reports.length) return fill($("crashes"), [make("li", "None since the start.", "quiet")]);
  const known = new Map([...$("crashes").children].map((item) => [item.dataset.key, item]));
  fill($("crashes"), reports.map((report) => {
    const key = `${report.time} ${report.service}`;
    return known.get(key) ?? crash(report, key, open);
  }));
}

function crash(report, key, open) {
  const [item, name] = [make("li"), theirs(report.service, "button")];
  item.dataset.key = key;
  name.type = "button";
  name.classList.add("open");
  name.addEventListener("click", () => open(report.service));
  const asked = report.requests.length ? ` at ${report.requests[0]}` : "";
  put(item, [make("span", `${clock(report.time)} `, "quiet"), name, theirs(`${asked}: ${report.error}: ${report.message}`)]);
  return item;
}
