"""Runs conversations on lanes of one WebSocket with openai-python; says of each turn, in a line of
JSON, what came of it.

Arguments: the base URL, how many lanes, how many turns on each. Each turn continues the last one of
its lane, which is not stored. Then other lanes continue the last responses of these, and new names
are used until one is refused.
"""

import asyncio
import json
import sys

from openai import AsyncOpenAI
from openai.lib.responses_websocket import AsyncResponsesWebSocketSession, ResponsesWebSocketLimits

URL, LANES, TURNS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ENDS = ["response.completed", "response.incomplete", "response.failed"]
LIMITS = ResponsesWebSocketLimits(
    max_lanes=64,
    max_events_per_lane=4096,
    max_events=65536,
    max_bytes_per_lane=1 << 24,
    max_bytes=1 << 26,
)


async def main():
    client = AsyncOpenAI(base_url=URL, api_key="sk-test", max_retries=0)
    async with client.responses.connect() as connection:
        async with AsyncResponsesWebSocketSession(connection, limits=LIMITS) as session:
            names = [None] + [f"lane-{n}" for n in range(1, LANES)]
            lanes = [session.lane(name) if name else session.default for name in names]
            ids = await asyncio.gather(*map(conversation, names, lanes))
            forks = (turn(f"fork-{n}", session.lane(f"fork-{n}"), ids[n]) for n in range(LANES))
            await asyncio.gather(*forks)
            for n in range(64):
                if not await turn(f"more-{n}", session.lane(f"more-{n}"), None):
                    break


async def conversation(name, lane):
    last = None
    for _ in range(TURNS):
        last = await turn(name, lane, last)
    return last


async def turn(name, lane, parent):
    request = {"model": "gpt-test", "store": False, "input": "go on"}
    if parent:
        request["previous_response_id"] = parent
    await lane.send({"type": "response.create", **request})
    said = {"lane": name, "asked": parent, "deltas": ""}
    while not said.get("end"):
        event = await lane.recv()
        if event.type == "response.output_text.delta":
            said["deltas"] += event.delta
        elif event.type == "error":
            said |= {"end": event.type, "code": event.error.code}
        elif event.type in ENDS:
            response = event.response
            said |= {"end": event.type, "id": response.id, "text": response.output_text}
    print(json.dumps(said), flush=True)
    return said.get("id")


asyncio.run(main())
