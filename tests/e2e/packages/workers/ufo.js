import { joinURL, parseURL, withQuery, normalizeURL } from "ufo";

const answer = async (request) => {
return [joinURL("http://a.example/", "/b/", "c"), withQuery("/a", { b: ["c d", 1] }), parseURL("http://u@a.example:1/b?c#d"), normalizeURL("//a/ü b")];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
