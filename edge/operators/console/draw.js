// Elements and texts. All that is shown passes `text`: names, hosts, logs and messages are written by guests, publishers
// and clients, and are never taken for markup. What would turn the direction of text around, or is no text, is replaced,
// as `vmimage/text.py` does for terminals.

const CONTROL = new RegExp(
  "[\\u0000-\\u0008\\u000a-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u206f\\u{e0000}-\\u{e007f}" +
  "\\ud800-\\udfff]", "gu");

export const $ = (id) => document.getElementById(id);

export const clean = (value) => String(value).replace(CONTROL, "\ufffd");

// The text of an element, set only when it changes: what is read out or selected stays.
export function text(node, value) {
  const shown = clean(value);
  if (node.textContent !== shown) node.textContent = shown;
  return node;
}

// An element with a text and classes.
export function make(tag, value = "", classes = "") {
  const node = document.createElement(tag);
  if (classes) node.className = classes;
  return value === "" ? node : text(node, value);
}

// What somebody else has written.
export const theirs = (value, tag = "span") => make(tag, value, "theirs");

// Children in place of those that there are; those that stay where they are are not touched.
export function fill(parent, children) {
  children.forEach((child, place) => {
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
  });
  while (parent.children.length > children.length) parent.lastElementChild.remove();
}

// A list of names and values, each value a text, an element or several.
export function facts(list, pairs) {
  fill(list, pairs.flatMap(([name, value], place) => {
    const [term, given] = [list.children[2 * place] ?? make("dt"), list.children[2 * place + 1] ?? make("dd")];
    text(term, name);
    put(given, value);
    return [term, given];
  }));
}

export function put(node, value) {
  if (value instanceof Node) node.replaceChildren(value);
  else if (Array.isArray(value)) node.replaceChildren(...value);
  else text(node, value);
}

const grouped = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const NONE = "–";

export const count = (value) => grouped.format(value);
export const rate = (value) => short.format(value);
export const ms = (value) => (value === null ? NONE : value < 10 ? value.toFixed(2) : grouped.format(Math.round(value)));
export const percent = (share) => (share === null ? NONE : `${Math.round(100 * share)} %`);

export function bytes(value) {
  if (!value) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const place = Math.min(Math.floor(Math.log2(value) / 10), units.length - 1);
  return `${short.format(value / 2 ** (10 * place))} ${units[place]}`;
}

export function clock(seconds) {
  return new Date(1000 * seconds).toISOString().slice(11, 19);
}

export function moment(seconds) {
  return `${new Date(1000 * seconds).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

export function span(seconds) {
  const days = seconds / 86400;
  if (Math.abs(days) >= 2) return `${grouped.format(Math.round(days))} days`;
  if (Math.abs(seconds) >= 7200) return `${Math.round(seconds / 3600)} hours`;
  if (Math.abs(seconds) >= 120) return `${Math.round(seconds / 60)} minutes`;
  return `${Math.round(seconds)} s`;
}
