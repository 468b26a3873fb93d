import { simulateReadableStream, streamText } from "ai";
import { MockLanguageModelV3 } from "ai/test";

const answer = async (request) => {
const chunks = [{ type: "stream-start", warnings: [] }, { type: "text-start", id: "1" }, { type: "text-delta", id: "1", delta: "Hel" }, { type: "text-delta", id: "1", delta: "lo" }, { type: "text-end", id: "1" }, { type: "finish", finishReason: { unified: "stop", raw: "stop" }, usage: { inputTokens: { total: 1 }, outputTokens: { total: 2 } } }];
  const model = new MockLanguageModelV3({ doStream: async () => ({ stream: simulateReadableStream({ chunks, initialDelayInMs: null, chunkDelayInMs: null }) }) });
  return streamText({ model, prompt: "hi" }).toTextStreamResponse().text();
};
export default { fetch: async (request) => Response.json(await answer(request)) };
