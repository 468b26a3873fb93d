// Selectors, matched against an element and those it lies in: what is known when its start tag is read.
import { parse } from "../node_modules/css-what/dist/index.js";

// `an+b` of :nth-child and :nth-of-type.
const nth = (text) => {
  const plain = { odd: "2n+1", even: "2n" }[text.trim()] ?? text.replace(/\s/g, "");
  const match = /^(?:([+-]?\d*)n)?([+-]?\d+)?$/.exec(plain);
  if (match === null || plain === "") throw new TypeError(`Parser error: ${text}`);
  const a = match[1] === undefined ? 0 : match[1] === "" || match[1] === "+" ? 1 : match[1] === "-" ? -1 : Number(match[1]);
  const b = Number(match[2] ?? 0);
  return (place) => (a === 0 ? place === b : (place - b) % a === 0 && (place - b) / a >= 0);
};
const ATTRIBUTE = {
  exists: () => true, equals: (has, value) => has === value, not: (has, value) => has !== value, start: (has, value) => value !== "" && has.startsWith(value),
  end: (has, value) => value !== "" && has.endsWith(value), any: (has, value) => value !== "" && has.includes(value), element: (has, value) => has.split(/\s+/).includes(value), hyphen: (has, value) => has === value || has.startsWith(`${value}-`),
};
const attribute = ({ name, action, value, ignoreCase }) => (node) => {
  const has = node.attributes.get(name.toLowerCase())?.value;
  if (has === undefined) return false;
  return ignoreCase === true ? ATTRIBUTE[action](has.toLowerCase(), value.toLowerCase()) : ATTRIBUTE[action](has, value);
};
const pseudo = ({ name, data }) => {
  if (name === "first-child") return (node) => node.place === 1;
  if (name === "first-of-type") return (node) => node.placeOfType === 1;
  if (name === "nth-child") { const fits = nth(data); return (node) => fits(node.place); }
  if (name === "nth-of-type") { const fits = nth(data); return (node) => fits(node.placeOfType); }
  if (name === "not") { const inner = data.map(complex); return (node) => !inner.some((fits) => fits(node)); }
  throw new TypeError(`Unsupported pseudo-class or pseudo-element in selector: ${name}`);
};
const simple = (part) => {
  if (part.type === "tag") return (node) => node.name === part.name.toLowerCase();
  if (part.type === "universal") return () => true;
  if (part.type === "attribute") return attribute(part);
  if (part.type === "pseudo") return pseudo(part);
  throw new TypeError("Unsupported syntax in selector.");
};
// From the last compound to the first: each has to fit its node, and what is left an element around it.
const complex = (parts) => {
  const last = parts.findLastIndex((part) => part.type === "descendant" || part.type === "child");
  const tests = parts.slice(last + 1).map(simple), fits = (node) => tests.every((test) => test(node));
  if (last < 0) return fits;
  const outer = complex(parts.slice(0, last));
  if (parts[last].type === "child") return (node) => fits(node) && node.parent !== null && outer(node.parent);
  return (node) => {
    if (!fits(node)) return false;
    for (let around = node.parent; around !== null; around = around.parent) if (outer(around)) return true;
    return false;
  };
};

export const selectorOf = (text) => {
  const choices = parse(String(text)).map(complex);
  return (node) => choices.some((fits) => fits(node));
};
