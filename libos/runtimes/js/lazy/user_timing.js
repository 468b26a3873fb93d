// Marks and measures of `performance` (User Timing, level 3), and the timeline that keeps them: made with the first of them.
import { interfaces } from "./common/classes.js";

const { nk, need, options, text } = share;
const cloned = (value) => (value === undefined || value === null ? null : share.clone(value, [])[0]);
const moment = (value, what) => {
  const time = Number(value);
  if (!Number.isFinite(time) || time < 0) throw new TypeError(`${what}: a time of 0 or more expected, got ${value}`);
  return time;
};

let begin = null; // what a measure is made of; nobody else makes one
class PerformanceEntry {
  #name; #type; #start; #duration;
  constructor(name, type, start, duration) {
    if (new.target === PerformanceEntry) throw new TypeError("Illegal constructor");
    this.#name = name;
    this.#type = type;
    this.#start = start;
    this.#duration = duration;
  }
  get name() { return this.#name; }
  get entryType() { return this.#type; }
  get startTime() { return this.#start; }
  get duration() { return this.#duration; }
  toJSON() { return { name: this.#name, entryType: this.#type, startTime: this.#start, duration: this.#duration, detail: this.detail }; }
}
class PerformanceMark extends PerformanceEntry {
  #detail;
  constructor(name, init = undefined) {
    need(arguments.length, 1, "PerformanceMark");
    const { detail, startTime } = options(init, "PerformanceMark");
    super(text(name), "mark", startTime === undefined ? nk.mono() : moment(startTime, "startTime"), 0);
    this.#detail = cloned(detail);
  }
  get detail() { return this.#detail; }
}
class PerformanceMeasure extends PerformanceEntry {
  #detail;
  constructor() {
    if (begin === null) throw new TypeError("Illegal constructor");
    super(begin.name, "measure", begin.start, begin.end - begin.start);
    this.#detail = begin.detail;
    begin = null;
  }
  get detail() { return this.#detail; }
}

let entries = [];
const kept = (entry) => {
  entries.push(entry);
  return entry;
};
const timeOf = (at) => {
  if (typeof at === "number") return moment(at, "measure()");
  const name = text(at), found = entries.findLast((entry) => entry.entryType === "mark" && entry.name === name);
  if (found === undefined) throw new DOMException(`The mark '${name}' does not exist.`, "SyntaxError");
  return found.startTime;
};
const OF_MEASURE = ["start", "end", "duration", "detail"];
const measure = (name, about, endMark) => {
  const object = typeof about === "object" && about !== null, given = object && OF_MEASURE.some((key) => about[key] !== undefined);
  const { start, end, duration, detail } = given ? about : { start: object ? undefined : about };
  if (given && endMark !== undefined) throw new TypeError("measure(): options or a mark of the end expected, got both");
  if (given && start === undefined && end === undefined) throw new TypeError("measure(): a start or an end expected");
  if (start !== undefined && end !== undefined && duration !== undefined) throw new TypeError("measure(): two of start, end and duration expected, got three");
  const length = duration === undefined ? undefined : moment(duration, "duration");
  const last = endMark !== undefined ? timeOf(endMark) : end !== undefined ? timeOf(end) : length !== undefined ? timeOf(start) + length : nk.mono();
  const first = start !== undefined && start !== null ? timeOf(start) : length !== undefined ? last - length : 0;
  begin = { name: text(name), start: first, end: last, detail: cloned(detail) };
  return kept(new PerformanceMeasure());
};
const clear = (type) => (name) => { entries = entries.filter((entry) => entry.entryType !== type || (name !== undefined && entry.name !== text(name))); };
const inOrder = (list) => list.sort((a, b) => a.startTime - b.startTime);

export default () => ({
  ...interfaces({ PerformanceEntry, PerformanceMark, PerformanceMeasure }),
  mark: (name, init) => kept(new PerformanceMark(name, init)),
  measure,
  clearMarks: clear("mark"),
  clearMeasures: clear("measure"),
  getEntries: () => inOrder([...entries]),
  getEntriesByType: (type) => inOrder(entries.filter((entry) => entry.entryType === text(type))),
  getEntriesByName: (name, type) => inOrder(entries.filter((entry) => entry.name === text(name) && (type === undefined || entry.entryType === text(type)))),
});
