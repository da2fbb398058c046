// Runs turns with openai-node; says of each, in a line of JSON, what came of it.
//
// Arguments: the folder of node_modules, the base URL, `websocket` or `sse`, how many turns. Each
// turn continues the last one that was completed. Its accumulators are strict about the order of
// events: what they do not expect is an error.

import { createRequire } from "node:module";

const [, , peers, baseURL, transport, count] = process.argv;
const require = createRequire(`${peers}/`);
const { default: OpenAI } = require("openai");
const { ResponsesWS } = require("openai/resources/responses/ws");
const { ResponsesWebSocketSession } = require("openai/lib/responses/responses-websocket-session");
const { ResponsesWebSocketAccumulator } = require("openai/lib/responses/responses-websocket-accumulator");

const ENDS = ["response.completed", "response.incomplete", "response.failed", "error"];
const client = new OpenAI({ baseURL, apiKey: "sk-test", maxRetries: 0, timeout: 20_000 });

async function main() {
  if (transport === "sse") {
    return turns(async (request, said) => {
      const stream = client.responses.stream(request);
      for await (const event of stream) see(event, said);
      return stream.finalResponse();
    });
  }
  const socket = new ResponsesWS(client);
  // Errors are events of their lane, too.
  socket.on("error", () => {});
  await new Promise((open) => socket.socket.on("open", open));
  const limits = { maxLanes: 1, maxBufferedEvents: 10_000, maxBufferedBytes: 10_000_000 };
  const lane = new ResponsesWebSocketSession(socket, limits).lane();
  await turns(async (request, said) => {
    lane.create(request);
    const accumulator = new ResponsesWebSocketAccumulator();
    for (;;) {
      const event = await lane.receive({ signal: AbortSignal.timeout(20_000) });
      see(event, said);
      if (event.type === "error") throw { status: event.status, code: event.error.code };
      const before = accumulator.current;
      accumulator.add(event);
      if (ENDS.includes(event.type)) {
        const built = before.snapshot.output;
        const text = before.snapshot.output_text;
        if (JSON.stringify(built) !== JSON.stringify(event.response.output)) {
          said.problems.push([event.type, [JSON.stringify(built)]]);
        }
        return { ...event.response, output_text: text };
      }
      if (accumulator.current.phase === "unavailable") {
        said.problems.push([event.type, [String(accumulator.current.error)]]);
      }
    }
  });
  socket.close();
}

function see(event, said) {
  said.kinds.push(event.type);
  if (event.type === "response.output_text.delta") said.deltas += event.delta;
}

async function turns(run) {
  let parent;
  for (let number = 0; number < Number(count); number++) {
    const request = { model: "gpt-test", input: `turn ${number}` };
    if (parent) request.previous_response_id = parent;
    const said = { asked: parent ?? null, kinds: [], problems: [], deltas: "" };
    try {
      const { id, status, previous_response_id, output_text, output } = await run(request, said);
      Object.assign(said, { id, status, parent: previous_response_id, text: output_text });
      said.items = output.map((item) => item.type);
    } catch (error) {
      if (!error.status) throw error;
      said.error = { status: error.status, code: error.code };
    }
    if (said.status === "completed") parent = said.id;
    console.log(JSON.stringify(said));
  }
}

await main();
