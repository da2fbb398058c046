// A server of the Responses API whose WebSockets compress messages; its text says what it received.
//
// Arguments: the folder of node_modules, and the options of `perMessageDeflate` as JSON. The server
// prints its base URL, and ends when its standard input closes. The text of a response is a JSON
// object: the bytes on the connection since the response before (`wire`), the length of the request
// (`body`), and its instructions and last item as a digest (`sha256`).

import { createHash } from "node:crypto";
import { createRequire } from "node:module";

const [, , peers, options] = process.argv;
const { WebSocketServer } = createRequire(`${peers}/`)("ws");
const perMessageDeflate = JSON.parse(options);
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate });

server.on("connection", (socket, request) => {
  let read = request.socket.bytesRead;
  let number = 0;
  socket.on("message", (message) => {
    const wire = request.socket.bytesRead - read;
    read = request.socket.bytesRead;
    const { instructions, input } = JSON.parse(message);
    const sha256 = createHash("sha256").update(instructions + input.at(-1).content[0].text).digest("hex");
    const text = JSON.stringify({ wire, body: message.length, sha256, extensions: socket.extensions });
    const id = `resp_${++number}`;
    const item = {
      id: `msg_${number}`,
      type: "message",
      role: "assistant",
      status: "completed",
      content: [{ type: "output_text", text, annotations: [] }],
    };
    const place = { item_id: item.id, output_index: 0, content_index: 0 };
    const events = [
      { type: "response.created", response: { id, object: "response", status: "in_progress", output: [] } },
      { type: "response.output_item.added", output_index: 0, item: { ...item, content: [] } },
      { type: "response.output_text.delta", ...place, delta: text },
      { type: "response.output_item.done", output_index: 0, item },
      { type: "response.completed", response: { id, object: "response", status: "completed", output: [item] } },
    ];
    socket.ping();
    for (const event of events) {
      // In two fragments, with a ping between them.
      const json = JSON.stringify(event);
      socket.send(json.slice(0, 20), { fin: false });
      socket.ping();
      socket.send(json.slice(20));
    }
  });
});

server.on("listening", () => console.log(`http://127.0.0.1:${server.address().port}/v1`));
process.stdin.on("end", () => process.exit()).resume();
