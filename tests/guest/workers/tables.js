// What test_javascript_tables.py asks of the tables that are in the base image.
const offset = (timeZone, at) => {
  const parts = new Intl.DateTimeFormat("en-US", { timeZone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" }).formatToParts(at * 1000);
  const part = Object.fromEntries(parts.map(({ type, value }) => [type, Number(value)]));
  return Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second) / 1000 - at;
};
const acts = {
  hosts: (names) => names.map((name) => { try { return new URL(`http://a${name}.test/`).hostname; } catch (error) { return error.name; } }),
  offsets: (asked) => asked.map(([zone, at]) => offset(zone, at)),
  tags: (tags) => tags.map((tag) => `${new Intl.Locale(tag).maximize()}`),
  sorted: (words) => words.sort(new Intl.Collator().compare),
};
export default { async fetch(request) { const [act, asked] = await request.json(); return Response.json(acts[act](asked)); } };
