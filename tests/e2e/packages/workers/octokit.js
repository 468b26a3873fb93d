import { Octokit } from "@octokit/core";

const answer = async (request) => {
const octokit = new Octokit({ auth: "t", request: { fetch: async (url, init) => new Response(JSON.stringify({ url, auth: init.headers.authorization, method: init.method }), { headers: { "Content-Type": "application/json; charset=utf-8" } }) } });
  return (await octokit.request("GET /repos/{owner}/{repo}", { owner: "a", repo: "b", per_page: 2 })).data;
};
export default { fetch: async (request) => Response.json(await answer(request)) };
