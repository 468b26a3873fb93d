import semver from "semver";

const answer = async (request) => {
return [semver.satisfies("1.2.3", "^1.0.0"), semver.inc("1.2.3", "prerelease", "beta"), semver.coerce("v2").version, ["1.10.0", "1.9.0"].sort(semver.compare)];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
