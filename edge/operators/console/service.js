// One service: what is known of it, its crash reports, its log as it comes, and orders.

import * as door from "./door.js";
import { $, bytes, clock, clean, count, facts, make, moment, ms, percent, rate, text, theirs } from "./draw.js";
import { tags } from "./services.js";

const LINES_MAX = 500;

let shown = null;  // { name, crashes, stop }

export const shownName = () => shown?.name ?? null;

export function openService(name, closed) {
  if (shown?.name === name) return;
  shown?.stop.abort();
  const stop = new AbortController();
  shown = { name, crashes: null, stop };
  text($("service-title"), name).classList.add("theirs");
  for (const id of ["facts", "reports", "log"]) $(id).replaceChildren();
  if (!$("service").open) $("service").showModal();
  $("service").onclose = () => {
    shown?.stop.abort();
    shown = null;
    closed();
  };
  look();
  door.follow(`lines?${new URLSearchParams({ service: name })}`, stop.signal, hear, (error) => say(`not followed: ${error.message}`));
}

// What is known of it, anew; with each view, since it need not be in that.
export async function look() {
  const name = shown?.name;
  if (!name) return;
  try {
    const { service: entry } = await door.get(`service?${new URLSearchParams({ service: name })}`);
    if (shown?.name !== name) return;
    drawFacts(entry);
    if (entry && entry.crashes !== shown.crashes) await lookAtReports(name, entry.crashes);
  } catch (error) {
    if (shown?.name === name) text($("facts"), `not known: ${error.message}`);
  }
}

function drawFacts(entry) {
  for (const id of ["park", "restart", "hold"]) $(id).disabled = !entry;
  $("hold").hidden = Boolean(entry && entry.held_since !== null);
  $("release").hidden = !$("hold").hidden;
  if (!entry) return facts($("facts"), [["Service", "This edge has not met it, or the catalogue knows it no more."]]);
  const where = $("facts").querySelector("[data-shown]") ?? make("span");
  tags(where, entry);
  $("park").disabled = entry.state !== "resident";
  facts($("facts"), [
    ["Where", where],
    ...(entry.held_since === null ? [] : [["On hold since", moment(entry.held_since)]]),
    ["Hosts", theirs(entry.hosts.join(", "))],
    ["Tenant", theirs(entry.tenant)],
    ["Version", count(entry.version)],
    ["Image", theirs(entry.image)],
    ...(entry.refused ? [["Refused", theirs(entry.refused)]] : []),
    ...(entry.release ? [["Release", theirs(releaseOf(entry.release))]] : []),
    ["Lately", `${rate(entry.rate)} requests/s, p50 ${ms(entry.p50_ms)} ms, p99 ${ms(entry.p99_ms)} ms, hits ${percent(entry.hits)}`],
    ["Requests", `${count(entry.requests)} in all, ${count(entry.waiting)} wait, ${count(entry.sockets)} sockets`],
    ["Memory", bytes(entry.resident_bytes || entry.parked_bytes)],
    ["Worker", entry.worker ?? "none"],
    ["Crashes", count(entry.crashes)],
  ]);
}

const releaseOf = ({ state, cause, share, image }) => `${state}${cause ? ` (${cause})` : ""}, ${share} % of the visitors: ${image}`;

async function lookAtReports(name, crashes) {
  const { reports } = await door.get(`reports?${new URLSearchParams({ service: name })}`);
  if (shown?.name !== name) return;
  shown.crashes = crashes;
  const none = crashes ? "None of its crashes is among the last hundred of the edge." : "None since the start.";
  $("reports").replaceChildren(...(reports.length ? reports.reverse().map(drawReport) : [make("p", none, "quiet")]));
}

function drawReport(report, place) {
  const [box, head] = [make("details"), make("summary")];
  head.append(`${moment(report.time)} `, theirs(`${report.error}: ${report.message}`));
  const list = make("dl", "", "facts");
  const asked = report.requests.map((each) => `${each.method} ${each.path} (${each.id})`);
  facts(list, [
    ["Requests", lines(asked)],
    ["Trace", report.trace ? lines(report.trace) : "no symbols"],
    ["Image", theirs(report.image)],
  ]);
  const [more, rest] = [make("details"), theirs("", "pre")];
  rest.textContent = JSON.stringify(report.report, null, 1).split("\n").map(clean).join("\n");
  more.append(make("summary", "Registers, frames, code and stack"), rest);
  box.append(head, list, more);
  box.open = place === 0;
  return box;
}

function lines(texts) {
  const box = make("span");
  texts.forEach((each, place) => box.append(...(place ? [document.createElement("br")] : []), theirs(each)));
  return texts.length ? box : make("span", "none");
}

function hear(event, data) {
  if (event === "following") return $("log").replaceChildren();
  if (event !== "lines") return;
  if (data.lost) say(`${count(data.lost)} lines were not shown`);
  const log = $("log");
  const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
  log.append(...data.lines.map(([at, said]) => {
    const [item, time] = [make("li"), make("time", clock(at))];
    item.append(time, theirs(said));
    return item;
  }));
  while (log.children.length > LINES_MAX) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function say(words) {
  $("log").append(make("li", words, "quiet"));
}
