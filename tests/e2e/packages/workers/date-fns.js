import { addMonths, differenceInCalendarDays, format, formatDistance, intlFormat, parseISO } from "date-fns";

const answer = async (request) => {
const at = parseISO("2026-01-31T10:00:00Z");
  return [format(at, "EEEE do MMMM yyyy"), addMonths(at, 1).toISOString(), formatDistance(at, addMonths(at, 3)), differenceInCalendarDays(addMonths(at, 1), at), intlFormat(at, { year: "numeric", month: "long", day: "numeric" }, { locale: "en-US" })];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
