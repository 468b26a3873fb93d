// Tables of packages from the short forms that packed.py writes.

// Rows `[code point or [first, last], status, text?]` of all code points: `heads` says of how many each is, in base 36
// where it is not one, and its status as a letter; those that are mapped (A) and deviations (F) have a text each.
export const mappingTable = (heads, texts) => {
  const text = texts.split("\n");
  let at = 0, used = 0;
  return heads.match(/[0-9a-z]*[A-Z]/g).map((head) => {
    const last = head.length - 1, status = head.charCodeAt(last) - 64, first = at;
    at += last === 0 ? 1 : parseInt(head.slice(0, last), 36);
    const codes = at - first === 1 ? first : [first, at - 1];
    return status === 1 || status === 6 ? [codes, status, text[used++]] : [codes, status];
  });
};

// Of languages with three letters: how far each is after the last, where it is not the next; its script, where it is not
// Latin; its region. `tags` has the others already.
export const likelySubtags = (short, tags) => {
  let number = -1;
  for (const about of short.split(",")) {
    const region = about.slice(-2), head = about.slice(0, -2);
    let script = "Latn", gap = 1;
    if (head !== "") {
      const letters = /[a-z]*$/.exec(head)[0];
      if (letters !== "") script = letters[0].toUpperCase() + letters.slice(1);
      if (letters.length < head.length) gap = parseInt(head, 10);
    }
    number += gap;
    const key = String.fromCharCode(97 + ((number / 676) | 0), 97 + (((number / 26) | 0) % 26), 97 + (number % 26));
    tags[key] = `${key}-${script}-${region}`;
  }
  return tags;
};
