// Tables of packages from the short forms that packed.py writes. What is asked for is made when it is: most of a table
// never is.

// What answers for an object or a list: of some names its own values, of others what `find` gives.
const answering = (own, find) => new Proxy(own, { get: (target, name) => (Object.hasOwn(target, name) ? target[name] : find(name)) });

// A list of rows `[code point or [first, last], status, text?]` of all code points: `heads` says of how many each is, in
// base 36 where it is not one, and its status as a letter; those that are mapped (A) and deviations (F) have a text each.
export const mappingTable = (heads, texts, length) => {
  const text = texts.split("\n"), first = new Uint32Array(length + 1), textOf = new Uint16Array(length), statuses = new Uint8Array(length);
  let size = 0;
  for (let n = 0, row = 0, used = 0; n < heads.length; n++) {
    const sign = heads.charCodeAt(n);
    if (sign < 58) size = 36 * size + sign - 48;
    else if (sign > 96) size = 36 * size + sign - 87;
    else {
      statuses[row] = sign - 64;
      textOf[row] = used;
      if (sign === 65 || sign === 70) used++;
      first[row + 1] = first[row] + (size || 1);
      row++;
      size = 0;
    }
  }
  return answering({ length }, (row) => {
    const from = first[row], to = first[+row + 1] - 1, status = statuses[row], codes = from === to ? from : [from, to];
    return status === 1 || status === 6 ? [codes, status, text[textOf[row]]] : [codes, status];
  });
};

// Likely subtags of languages by their tags. Of those with three letters: how far each is after the last, where it is not
// the next; its script, where it is not Latin; its region. `tags` has the others.
export const likelySubtags = (short, tags, length) => {
  const numbers = new Uint16Array(length), ends = new Uint16Array(length);
  let gap = 0, begun = false;
  for (let n = 0, row = 0, last = -1; n < short.length; n++) {
    const sign = short.charCodeAt(n);
    if (sign < 58) gap = 10 * gap + sign - 48;
    else if (sign < 97 && (begun = !begun) === false) {
      numbers[row] = last += gap || 1;
      ends[row++] = n + 1;
      gap = 0;
    }
  }
  return answering(tags, (tag) => {
    if (!/^[a-z]{3}$/.test(tag)) return undefined;
    const number = 676 * (tag.charCodeAt(0) - 97) + 26 * (tag.charCodeAt(1) - 97) + tag.charCodeAt(2) - 97, row = numbers.indexOf(number);
    if (row < 0) return undefined;
    const [, script, region] = /([a-z]*)([A-Z]{2})$/.exec(short.slice(row === 0 ? 0 : ends[row - 1], ends[row]));
    return `${tag}-${script === "" ? "Latn" : script[0].toUpperCase() + script.slice(1)}-${region}`;
  });
};

// Regular expressions by name, from `[text, flags]`, each made when it is first asked for.
export const patterns = (texts) => {
  const made = {};
  return answering(made, (name) => (made[name] = new RegExp(...texts[name])));
};
