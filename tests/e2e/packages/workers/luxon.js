import { DateTime, Duration, Interval } from "luxon";

const answer = async (request) => {
const at = DateTime.fromISO("2026-07-04T18:05:09Z", { zone: "Europe/Oslo" });
  return [at.toISO(), at.toLocaleString(DateTime.DATETIME_MED), at.toFormat("cccc d. LLLL yyyy HH:mm ZZZZ"), at.plus({ months: 7 }).toISO(), at.setZone("America/New_York").offset, Duration.fromObject({ hours: 30 }).shiftTo("days", "hours").toHuman(), Interval.fromDateTimes(at, at.plus({ days: 2 })).length("hours"), at.toRelative({ base: at.plus({ days: 3 }) })];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
