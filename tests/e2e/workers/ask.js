// Asks the URL in ?url= and says what came; with a POST, passes the body on.
export default {
  async fetch(request) {
    const url = new URL(request.url).searchParams.get("url");
    try {
      const options = request.method === "POST" ? { method: "POST", body: await request.text(), headers: { "X-From": "js" } } : {};
      const answer = await fetch(url, options);
      const body = await answer.text();
      return new Response(`${answer.status} ${answer.headers.get("X-Answer")} ${body.length > 100 ? body.length : body}`);
    } catch (error) {
      return new Response(`${error.name}: ${error.message}`, { status: 502 });
    }
  },
};
