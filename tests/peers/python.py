"""Runs turns with openai-python; says of each, in a line of JSON, what came of it.

Arguments: the base URL, `websocket` or `sse`, how many turns. Each turn continues the last one that
was completed.
"""

import json
import sys

import openai
import pydantic

URL, TRANSPORT, TURNS = sys.argv[1], sys.argv[2], int(sys.argv[3])
ENDS = ["response.completed", "response.incomplete", "response.failed", "error"]


def main():
    client = openai.OpenAI(base_url=URL, api_key="sk-test", max_retries=0, timeout=20)
    if TRANSPORT == "sse":
        turns(lambda request: client.responses.create(stream=True, **request))
        return
    with client.responses.connect() as connection:

        def turn(request):
            connection.response.create(**request)
            for event in connection:
                yield event
                if event.type in ENDS:
                    return

        turns(turn)


def turns(start):
    parent = None
    for number in range(TURNS):
        request = {"model": "gpt-test", "input": f"turn {number}"}
        if parent:
            request["previous_response_id"] = parent
        said = {"asked": parent, "kinds": [], "problems": [], "deltas": ""}
        try:
            for event in start(request):
                see(event, said)
        except openai.APIStatusError as error:
            said["error"] = {"status": error.status_code, "code": error.code}
        if said.get("status") == "completed":
            parent = said["id"]
        print(json.dumps(said), flush=True)


def see(event, said):
    said["kinds"].append(event.type)
    try:
        # The SDK chose the class by the type of the event, or any, and checked nothing more.
        type(event).model_validate(event.to_dict(warnings=False))
    except pydantic.ValidationError as error:
        said["problems"].append([event.type, [line(wrong) for wrong in meant(error.errors())]])
    if event.type == "response.output_text.delta":
        said["deltas"] += event.delta
    elif event.type == "error" and TRANSPORT == "websocket":
        said["error"] = {"status": event.status, "code": event.error.code}
    elif event.type in ENDS:
        response = event.response
        said |= {"id": response.id, "status": response.status}
        said |= {"parent": response.previous_response_id, "text": response.output_text}
        said["items"] = [item.type for item in response.output]


def meant(errors):
    """Without what the other types of a union say, as far as one of them has the type."""
    others = [wrong["loc"][:-1] for wrong in errors if wrong["loc"][-1] == "type"]
    is_other = lambda loc: any(loc[: len(other)] == other for other in others)
    return [wrong for wrong in errors if not is_other(wrong["loc"])] or errors


def line(wrong):
    return ".".join(map(str, wrong["loc"])) + ": " + wrong["msg"]


main()
