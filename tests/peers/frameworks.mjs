// Runs a plain turn, a streamed turn and a tool with an SDK; says in a line of JSON what came of it.
//
// Arguments: the folder of node_modules, the SDK, and the base URL. The tool is `weather`, which
// takes a city.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [, , peers, library, baseURL] = process.argv;
const require = createRequire(`${peers}/`);
const load = (name) => import(pathToFileURL(require.resolve(name)));

const [apiKey, model, question] = ["sk-test", "gpt-test", "How is the weather?"];
const called = [];

async function weather({ city }) {
  called.push(city);
  return `It rains in ${city}.`;
}

async function withOpenai() {
  const { default: OpenAI } = await load("openai");
  const { responses } = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
  const create = (body) => responses.create({ model, input: question, ...body });
  const plain = (await create({})).output_text;
  let streamed = "";
  for await (const event of await create({ stream: true })) {
    if (event.type === "response.output_text.delta") streamed += event.delta;
  }
  const parameters = {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
  };
  const tools = [{ type: "function", name: "weather", parameters, strict: false }];
  const response = await create({ tools });
  const call = response.output.find((item) => item.type === "function_call");
  const output = await weather(JSON.parse(call.arguments));
  const last = await create({
    tools,
    previous_response_id: response.id,
    input: [{ type: "function_call_output", call_id: call.call_id, output }],
  });
  return [plain, streamed, last.output_text];
}

async function withAgents() {
  const agents = await load("@openai/agents");
  const { default: OpenAI } = await load("openai");
  const { z } = await load("zod");
  agents.setTracingDisabled(true);
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
  const responses = new agents.OpenAIResponsesModel(client, model);
  const agent = new agents.Agent({ name: "plain", model: responses });
  const plain = (await agents.run(agent, question)).finalOutput;
  const running = await agents.run(agent, question, { stream: true });
  let streamed = "";
  for await (const text of running.toTextStream()) streamed += text;
  await running.completed;
  const forecast = agents.tool({
    name: "weather",
    description: "Says how the weather is.",
    parameters: z.object({ city: z.string() }),
    execute: weather,
  });
  const caller = new agents.Agent({ name: "tools", model: responses, tools: [forecast] });
  return [plain, streamed, (await agents.run(caller, question)).finalOutput];
}

async function withAi() {
  const { generateText, isStepCount, stepCountIs, streamText, tool } = await load("ai");
  const { createOpenAI } = await load("@ai-sdk/openai");
  const { z } = await load("zod");
  const responses = createOpenAI({ baseURL, apiKey }).responses(model);
  const ask = { model: responses, prompt: question, maxRetries: 0 };
  const plain = (await generateText(ask)).text;
  let streamed = "";
  for await (const text of streamText({ ...ask, onError }).textStream) streamed += text;
  const forecast = tool({ inputSchema: z.object({ city: z.string() }), execute: weather });
  const tools = { weather: forecast };
  const stopWhen = (isStepCount ?? stepCountIs)(5);
  const { text } = await generateText({ ...ask, tools, stopWhen });
  return [plain, streamed, text];
}

function onError({ error }) {
  throw error;
}

async function withLangchain() {
  const { HumanMessage } = await load("@langchain/core/messages");
  const { tool } = await load("@langchain/core/tools");
  const { ChatOpenAI } = await load("@langchain/openai");
  const { z } = await load("zod");
  const chat = new ChatOpenAI({
    model,
    apiKey,
    configuration: { baseURL },
    maxRetries: 0,
    useResponsesApi: true,
  });
  const plain = (await chat.invoke(question)).text;
  let streamed = "";
  for await (const chunk of await chat.stream(question)) streamed += chunk.text;
  const schema = z.object({ city: z.string() });
  const forecast = tool(weather, { name: "weather", description: "Says it.", schema });
  const bound = chat.bindTools([forecast]);
  const messages = [new HumanMessage(question)];
  messages.push(await bound.invoke(messages));
  for (const call of messages.at(-1).tool_calls) messages.push(await forecast.invoke(call));
  return [plain, streamed, (await bound.invoke(messages)).text];
}

const runs = { openai: withOpenai, agents: withAgents, ai: withAi, langchain: withLangchain };
const [plain, streamed, tool] = await runs[library]();
console.log(JSON.stringify({ plain, streamed, tool, called }));
