// In place of tr46 within the part "url": its tables are a part of their own, for names that need them.
let idna = null;
export const load = (part) => { idna = part; };
export const toASCII = (name, options) =>
  (/[^\x00-\x7f]|xn--/i.test(name) ? idna().toASCII(name, options) : name.toLowerCase());
