import OpenAI from "openai";

const answer = async (request) => {
const events = ["Hel", "lo"].map((text) => `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", choices: [{ index: 0, delta: { content: text } }] })}\n\n`);
  const fetch = async (url, init) => (JSON.parse(init.body).stream
    ? new Response(new ReadableStream({ start(controller) { for (const event of [...events, "data: [DONE]\n\n"]) controller.enqueue(new TextEncoder().encode(event)); controller.close(); } }), { headers: { "Content-Type": "text/event-stream" } })
    : Response.json({ id: "c", choices: [{ message: { role: "assistant", content: "whole" } }] }));
  const client = new OpenAI({ apiKey: "k", fetch }), about = { model: "m", messages: [{ role: "user", content: "hi" }] };
  const parts = [];
  for await (const chunk of await client.chat.completions.create({ ...about, stream: true })) parts.push(chunk.choices[0].delta.content);
  return [parts, (await client.chat.completions.create(about)).choices[0].message.content];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
