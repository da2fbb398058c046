"""Runs a plain turn, a streamed turn and a tool with an SDK; says in a line of JSON what came of it.

Arguments: the SDK, and the base URL. The tool is `weather`, which takes a city.
"""

import asyncio
import json
import sys

LIBRARY, URL = sys.argv[1], sys.argv[2]
KEY, MODEL, QUESTION = "sk-test", "gpt-test", "How is the weather?"
CALLED = []


def weather(city: str) -> str:
    """Says how the weather is."""
    CALLED.append(city)
    return f"It rains in {city}."


def with_openai():
    import openai

    client = openai.OpenAI(base_url=URL, api_key=KEY, max_retries=0, timeout=20)
    create = lambda **body: client.responses.create(model=MODEL, **body)
    plain = create(input=QUESTION).output_text
    is_text = lambda event: event.type == "response.output_text.delta"
    events = create(input=QUESTION, stream=True)
    streamed = "".join(event.delta for event in filter(is_text, events))

    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "name": "weather", "parameters": parameters, "strict": False}]
    response = create(input=QUESTION, tools=tools)
    [call] = [item for item in response.output if item.type == "function_call"]
    said = weather(**json.loads(call.arguments))
    output = {"type": "function_call_output", "call_id": call.call_id, "output": said}
    last = create(input=[output], previous_response_id=response.id, tools=tools)
    return plain, streamed, last.output_text


async def with_agents():
    import agents
    import openai

    agents.set_tracing_disabled(True)
    client = openai.AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0, timeout=20)
    model = agents.OpenAIResponsesModel(model=MODEL, openai_client=client)
    agent = agents.Agent(name="plain", model=model)
    plain = (await agents.Runner.run(agent, QUESTION)).final_output
    running = agents.Runner.run_streamed(agent, QUESTION)
    streamed = ""
    async for event in running.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            streamed += event.data.delta
    agent = agents.Agent(name="tools", model=model, tools=[agents.function_tool(weather)])
    return plain, streamed, (await agents.Runner.run(agent, QUESTION)).final_output


def with_langchain():
    from langchain_core.messages import HumanMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(
        model=MODEL, base_url=URL, api_key=KEY, max_retries=0, timeout=20, use_responses_api=True
    )
    plain = model.invoke(QUESTION).text
    streamed = "".join(chunk.text for chunk in model.stream(QUESTION))
    forecast = tool(weather)
    bound = model.bind_tools([forecast])
    messages = [HumanMessage(QUESTION)]
    messages.append(bound.invoke(messages))
    messages += [forecast.invoke(call) for call in messages[-1].tool_calls]
    return plain, streamed, bound.invoke(messages).text


async def with_pydantic_ai():
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIResponsesModel(MODEL, provider=OpenAIProvider(base_url=URL, api_key=KEY))
    plain = (await Agent(model).run(QUESTION)).output
    async with Agent(model).run_stream(QUESTION) as running:
        streamed = "".join([delta async for delta in running.stream_text(delta=True)])
    agent = Agent(model, tools=[weather])
    return plain, streamed, (await agent.run(QUESTION)).output


RUNS = {
    "openai": with_openai,
    "agents": with_agents,
    "langchain": with_langchain,
    "pydantic-ai": with_pydantic_ai,
}
said = RUNS[LIBRARY]()
if asyncio.iscoroutine(said):
    said = asyncio.run(said)
print(json.dumps(dict(zip(["plain", "streamed", "tool"], said)) | {"called": CALLED}))
