import dayjs from "dayjs";
import timezone from "dayjs/plugin/timezone";
import utc from "dayjs/plugin/utc";

const answer = async (request) => {
dayjs.extend(utc);
  dayjs.extend(timezone);
  const at = dayjs.utc("2026-07-04T18:05:09Z");
  return [at.format("dddd, MMMM D YYYY HH:mm Z"), at.tz("America/New_York").format(), dayjs.tz("2026-01-31 12:00", "Europe/Berlin").toISOString(), at.add(7, "month").diff(at, "day")];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
