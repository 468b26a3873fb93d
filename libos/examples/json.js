// An API of one list: ten peaks as JSON, filtered by ?above=METRES.
const peaks = [
  ["Galdhøpiggen", 2469], ["Glittertind", 2452], ["Store Skagastølstind", 2405], ["Snøhetta", 2286], ["Kebnekaise", 2096],
  ["Hvannadalshnúkur", 2110], ["Gunnbjørn Fjeld", 3694], ["Newtontoppen", 1713], ["Halti", 1331], ["Slættaratindur", 880],
].map(([name, metres]) => ({ name, metres }));

export default {
  async fetch(request) {
    const above = Number(new URL(request.url).searchParams.get("above") ?? 0);
    if (Number.isNaN(above)) return Response.json({ error: "above: a number of metres expected" }, { status: 400 });
    return Response.json(
      { peaks: peaks.filter((peak) => peak.metres > above) },
      { headers: { "Cache-Control": "public, max-age=60" } },
    );
  },
};
