"""A test server for the WebSocket mode of the OpenAI Responses API, with lanes and steering.

It listens on a free port of 127.0.0.1, prints one JSON line {"url": "ws://127.0.0.1:PORT/v1/responses"}
and ends when its standard input closes. No model runs: every response is one assistant message, and
the text of this message is a JSON object that says what the server holds as the conversation
(members `sha256`, `plain_sha256`, `items`, `last_user`; lane_items.py explains them).

Words in the last user text of a request's new input change what happens:

  fail-NNN        the request is refused with the HTTP-like status NNN (400, 429, 500 ...)
  steerable       the response waits a moment for a `response.steer`, accepts it, finishes its
                  message, ends as incomplete (`steered`), and a successor follows
  steerable-late  the same, but the response ends as completed before the successor follows
  (neither)       a steer is refused with `steering_not_supported`
A steer whose own text holds fail-NNN is accepted, and fails when its successor is to be created.
"""

import argparse
import asyncio
import collections
import json
import os
import random
import re
import socket
import struct
import threading
import time
import uuid

from lane_items import History, canonical, input_items, last_user_text, valid_steer_input
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

PATH = "/v1/responses"
NAME = re.compile(r"[A-Za-z0-9_.-]{1,256}")
NAMES_LIMIT = 32  # distinct lane names of one connection, the default lane not counted
RUNNING_LIMIT = 16  # responses that run at once on one connection, the default lane counted
MESSAGE_LIMIT = 16 * 1024 * 1024  # bytes; a larger message closes the connection with 1009
STEER_LIMIT = 64 * 1024  # bytes of steering input that may wait for one response


class Refusal(Exception):
    """A request that is answered with an `error` frame instead of a response."""

    def __init__(self, code, message, param=None, status=400, kind="invalid_request_error", headers=None):
        super().__init__(message)
        self.code, self.status = code, status
        self.error = {"type": kind, "code": code, "message": message, "param": param}
        if headers:
            self.error["headers"] = headers


class Cut(Exception):
    """The connection was cut on purpose."""


class Create:
    """One request for a response: a received `response.create`, or the automatic one after a steer."""

    def __init__(self, frame, size=0, number=None, steers=()):
        self.frame, self.size, self.number = frame, size, number
        self.steers = list(steers)  # accepted steers whose input goes before this request's own
        self.steered = None  # the response that was steered, if there are steers
        self.automatic = number is None

    def new_input(self):
        own = self.frame.get("input")
        if own is None and (self.steers or self.frame.get("generate") is False):
            own = []
        if own is None:
            raise Refusal("missing_required_parameter", "Missing required parameter: 'input'.", "input")
        own = input_items(own)
        if not isinstance(own, list) or not all(isinstance(item, dict) for item in own):
            raise Refusal("invalid_type", "Invalid type for 'input': expected a string or items.", "input")
        return [item for steer in self.steers for item in input_items(steer["input"])] + own


class Lane:
    def __init__(self, name):
        self.name = name  # None: the default lane
        self.waiting = collections.deque()  # requests, oldest first
        self.running = None  # the response that runs now
        self.cached = None  # the last finished response, until the next one starts


class Response:
    """A response that has started, and its course as a generator of (event type, fields)."""

    def __init__(self, connection, lane, create, parent_id, before, items):
        self.connection, self.lane, self.create, self.parent_id = connection, lane, create, parent_id
        self.id = "resp_" + uuid.uuid4().hex
        self.created_at = int(time.time())
        self.before = before.extended(items)  # the conversation up to this response's output
        self.after = None  # the conversation with the output; set when the response ends
        self.status, self.reason, self.output = "in_progress", None, []
        self.sequence = 0
        self.steers = []  # accepted, successor not created yet
        text = last_user_text(items) or ""
        usable = not create.frame.get("conversation") and not create.frame.get("context_management")
        self.steerable = usable and "steerable" in text
        self.steer_late = "steerable-late" in text
        # A response has at least nine events before its terminal one, so a cut is always in its middle.
        cut = connection.rng.random() < connection.server.cut_chance
        self.cut_after = connection.rng.randint(1, 9) if cut else 0
        self.events = self.course()

    def object(self):
        frame, usage = self.create.frame, None
        if self.after:
            spent_in, spent_out = self.before.size // 4, (self.after.size - self.before.size) // 4
            usage = {"input_tokens": spent_in, "input_tokens_details": {"cached_tokens": 0},
                     "output_tokens": spent_out, "output_tokens_details": {"reasoning_tokens": 0},
                     "total_tokens": spent_in + spent_out}
        given = {"instructions": None, "max_output_tokens": None, "metadata": {}, "tools": [],
                 "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "top_p": 1.0,
                 "truncation": "disabled", "text": {"format": {"type": "text"}}}
        given.update({k: frame[k] for k in given if frame.get(k) is not None})
        return {"id": self.id, "object": "response", "created_at": self.created_at, "status": self.status,
                "error": None, "incomplete_details": {"reason": self.reason} if self.reason else None,
                "model": frame["model"], "previous_response_id": self.parent_id, "output": self.output,
                "store": stored(frame), "usage": usage, **given}

    def course(self):
        rng = self.connection.rng
        yield "response.created", {"response": self.object()}
        if self.create.frame.get("generate") is not False:
            yield "response.in_progress", {"response": self.object()}
            text, item_id = self.before.text(), "msg_" + uuid.uuid4().hex
            place = {"item_id": item_id, "output_index": 0, "content_index": 0}
            item = {"id": item_id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            yield "response.output_item.added", {"output_index": 0, "item": item}
            yield "response.content_part.added", {**place, "part": part}
            ends = sorted(rng.sample(range(1, len(text)), rng.randint(3, 8))) + [len(text)]
            start, patience = 0, time.monotonic() + self.connection.options.steer_wait
            for end in ends:
                # A steerable response stops before its last piece of text, so that a steer can reach it.
                while end == len(text) and self.steerable and not self.steers and time.monotonic() < patience:
                    yield None, {}
                yield "response.output_text.delta", {**place, "delta": text[start:end], "logprobs": []}
                start = end
            part = {**part, "text": text}
            item = {**item, "status": "completed", "content": [part]}
            yield "response.output_text.done", {**place, "text": text, "logprobs": []}
            yield "response.content_part.done", {**place, "part": part}
            self.output = [item]
            yield "response.output_item.done", {"output_index": 0, "item": item}
        self.connection.finish(self)
        yield "response." + self.status, {"response": self.object()}


def stored(frame):
    return frame.get("store") is not False


class Connection:
    """One WebSocket connection. `pump` alone changes its state and sends, so there is no other order."""

    def __init__(self, server, number, socket_):
        self.server, self.options, self.number, self.socket = server, server.options, number, socket_
        self.rng = random.Random(f"{server.options.seed}/{number}")
        self.inbox = asyncio.Queue()  # received messages
        self.lanes = {None: Lane(None)}  # a name once used stays until the connection ends
        self.running = []
        self.responses = {}  # every response of this connection by id, for steers
        self.received = 0

    async def pump(self):
        """Handle what has come in, then start one waiting request or send one event, at random."""
        while True:
            while not self.inbox.empty() or not self.choices():
                await self.receive(await self.inbox.get())
            choice = self.rng.choice(self.choices())
            if isinstance(choice, Lane):
                await self.start(choice)
            else:
                await self.advance(choice)
            await asyncio.sleep(self.rng.choice((0, self.options.pace)))

    def choices(self):
        lanes = [lane for lane in self.lanes.values() if lane.waiting and not lane.running]
        return self.running + (lanes if len(self.running) < RUNNING_LIMIT else [])

    async def send(self, frame, lane=None):
        if lane and lane.name is not None:
            frame["stream_id"] = lane.name
        await self.socket.send(json.dumps(frame, ensure_ascii=False))

    async def send_event(self, response, kind, fields):
        frame = {"type": kind, "sequence_number": response.sequence, **fields}
        response.sequence += 1
        await self.send(frame, response.lane)

    async def send_error(self, refusal, lane=None):
        await self.send({"type": "error", "status": refusal.status, "error": refusal.error}, lane)

    # Received messages

    async def receive(self, message):
        try:
            if isinstance(message, bytes):
                raise ValueError("binary message")
            frame = json.loads(message)
            canonical(frame)  # fails on NaN and on half a surrogate pair
            kind = frame["type"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return await self.send_error(Refusal("invalid_json", "The message is not a JSON object with a type."))
        if kind == "response.create":
            await self.receive_create(frame, len(message.encode()))
        elif kind == "response.steer":
            await self.receive_steer(frame)
        else:
            await self.send_error(Refusal("unknown_event_type", f"Unknown event type {kind!r}.", "type"))

    async def receive_create(self, frame, size):
        """Put the request into its lane's queue. Only a bad or surplus lane name is refused at once."""
        self.received += 1
        create = Create(frame, size, self.received)
        name = frame.get("stream_id")
        if "stream_id" in frame and not (isinstance(name, str) and NAME.fullmatch(name)):
            refusal = Refusal("invalid_stream_id", "Invalid 'stream_id': expected a non-empty string of at "
                              "most 256 characters of [A-Za-z0-9_.-].", "stream_id")
            self.log(create, refused=refusal.code)
            return await self.send_error(refusal)
        if name not in self.lanes:
            if len(self.lanes) - 1 >= NAMES_LIMIT:
                refusal = Refusal("websocket_stream_limit_reached", "This WebSocket connection has reached the "
                                  "maximum number of distinct stream IDs (32). Reuse an existing stream_id or "
                                  "open a new WebSocket connection.", "stream_id")
                self.log(create, refused=refusal.code)
                return await self.send_error(refusal, Lane(name))
            self.lanes[name] = Lane(name)
        self.lanes[name].waiting.append(create)

    async def receive_steer(self, frame):
        target_id, given = frame.get("previous_response_id"), frame.get("input")
        if not isinstance(target_id, str):
            return await self.send_error(Refusal("invalid_type", "'previous_response_id' must be a string.",
                                                 "previous_response_id"))
        target = self.responses.get(target_id)
        code = None
        if set(frame) != {"type", "previous_response_id", "input"} or not valid_steer_input(given):
            code = "invalid_input"
        elif target is None:
            code = "response_not_found"
        elif target.status == "completed":
            code = "response_already_completed"
        elif target.status != "in_progress":
            code = "response_not_active"
        elif not target.steerable:
            code = "steering_not_supported"
        elif sum(len(canonical(s["input"])) for s in target.steers) + len(canonical(given)) > STEER_LIMIT:
            code = "too_many_pending_steers"
        steer = {"previous_response_id": target_id}
        if code:
            return await self.send_steer_failed(target, {**steer, "input": given}, code)
        steer = {"id": "steer_" + uuid.uuid4().hex, **steer}
        target.steers.append({**steer, "input": given})
        await self.send_event(target, "response.steer.accepted", {"steer": steer})

    async def send_steer_failed(self, target, steer, code):
        error = {"type": "invalid_request_error", "code": code, "message": f"The steer was refused: {code}."}
        fields = {"error": error, "steer": steer}
        if target:
            await self.send_event(target, "response.steer.failed", fields)
        else:
            await self.send({"type": "response.steer.failed", "sequence_number": 0, **fields})

    # The course of requests

    async def start(self, lane):
        """Start the oldest request of an idle lane, or refuse it."""
        create = lane.waiting.popleft()
        parent_id = create.frame.get("previous_response_id")
        try:
            before = self.parent_history(create.frame)
            items = create.new_input()
            self.check(create.frame, items)
        except Refusal as refusal:
            # A failed continuation evicts its parent from its own lane. A failed fork, a failed new
            # conversation and a failed automatic successor evict nothing.
            if lane.cached and lane.cached.id == parent_id and not create.automatic:
                lane.cached = None
            for steer in create.steers:
                await self.send_steer_failed(create.steered, steer, "successor_creation_failed")
            if not create.automatic:
                self.log(create, refused=refusal.code)
                await self.send_error(refusal, lane)
            return
        response = Response(self, lane, create, parent_id, before, items)
        self.responses[response.id] = response
        lane.running, lane.cached = response, None
        self.running.append(response)
        if not create.automatic:
            self.log(create, response_id=response.id)

    def parent_history(self, frame):
        parent_id = frame.get("previous_response_id")
        if parent_id is None:
            return History()
        if not isinstance(parent_id, str):
            raise Refusal("invalid_type", "'previous_response_id' must be a string.", "previous_response_id")
        for lane in self.lanes.values():
            if lane.cached and lane.cached.id == parent_id:
                return lane.cached.after
        if stored(frame) and parent_id in self.server.storage:
            return self.server.storage[parent_id]
        raise Refusal("previous_response_not_found", f"Previous response with id '{parent_id}' not found.",
                      "previous_response_id")

    def check(self, frame, items):
        if not isinstance(frame.get("model"), str):
            raise Refusal("missing_required_parameter", "Missing required parameter: 'model'.", "model")
        wanted = re.search(r"fail-([45]\d\d)", last_user_text(items) or "")
        status = int(wanted[1]) if wanted else 0
        if status == 429:
            raise Refusal("rate_limit_exceeded", "Rate limit reached.", None, 429, "rate_limit_error",
                          {"retry-after": "1"})
        if status >= 500:
            raise Refusal("server_error", "The server had an error.", None, status, "server_error")
        if status:
            raise Refusal("invalid_value", f"The input asks for status {status}.", "input", status)

    async def advance(self, response):
        kind, fields = next(response.events, ("end", {}))
        if kind is None:
            return await asyncio.sleep(0.001)
        if kind == "end":
            response.lane.running = None
            return self.running.remove(response)
        await self.send_event(response, kind, fields)
        response.cut_after -= 1
        if response.cut_after == 0:
            self.cut()

    def finish(self, response):
        """End a response, keep it as a parent, and queue the successor that its steers ask for."""
        lane, steers = response.lane, response.steers
        steered = bool(steers) and not response.steer_late
        response.status, response.reason = ("incomplete", "steered") if steered else ("completed", None)
        response.after = response.before.extended(response.output)
        lane.cached = response
        if stored(response.create.frame):
            self.server.storage[response.id] = response.after
        if steers:
            # A request for this parent that waits already takes the steers' input before its own.
            follower = lane.waiting[0] if lane.waiting else None
            if follower is None or follower.frame.get("previous_response_id") != response.id:
                settings = {**response.create.frame, "previous_response_id": response.id}
                settings.pop("input", None)
                settings.pop("generate", None)
                follower = Create(settings)
                lane.waiting.appendleft(follower)
            follower.steers, follower.steered, response.steers = steers, response, []

    def cut(self):
        """Cut the TCP connection without a closing handshake: with a reset or with a plain end."""
        if self.rng.random() < 0.5:
            raw = self.socket.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.transport.abort()
        raise Cut

    def log(self, create, **more):
        given = create.frame.get("input")
        items = len(input_items(given)) if isinstance(given, (str, list)) else None
        self.server.log({"connection": self.number, "number": create.number,
                         "stream_id": create.frame.get("stream_id"),
                         "previous_response_id": create.frame.get("previous_response_id"),
                         "items": items, "bytes": create.size, **more})

    def log_waiting(self):
        for lane in self.lanes.values():
            for create in lane.waiting:
                if not create.automatic:
                    self.log(create, undecided=True)


class Server:
    def __init__(self, options):
        self.options, self.storage, self.connections = options, {}, 0
        self.cut_chance = 1 / options.cut_every if options.cut_every else 0
        self.log_file = open(options.log, "a", buffering=1, encoding="utf-8") if options.log else None

    def log(self, entry):
        if self.log_file:
            self.log_file.write(json.dumps(entry) + "\n")

    def refuse_other_paths(self, socket_, request):
        if request.path.split("?")[0] != PATH:
            return socket_.respond(404, '{"error":{"type":"invalid_request_error","code":null,'
                                        '"message":"Not found.","param":null}}')

    async def handle(self, socket_):
        self.connections += 1
        connection = Connection(self, self.connections, socket_)

        async def read():
            async for message in socket_:
                connection.inbox.put_nowait(message)

        tasks = [asyncio.create_task(read()), asyncio.create_task(connection.pump())]
        try:
            done, _ = await asyncio.wait(tasks, timeout=self.options.lifetime, return_when="FIRST_COMPLETED")
            if not done:
                await connection.send_error(Refusal(
                    "websocket_connection_limit_reached", "Responses websocket connection limit reached "
                    "(60 minutes). Create a new websocket connection to continue."))
            for task in done:
                task.result()  # shows a fault of the server itself
        except (Cut, ConnectionClosed):
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            connection.log_waiting()


async def main():
    parser = argparse.ArgumentParser(description="Test server: Responses API over WebSocket, lanes, steering.")
    parser.add_argument("--seed", default="0", help="seed of every random choice")
    parser.add_argument("--cut-every", type=int, default=0, metavar="N", help="cut about every Nth response")
    parser.add_argument("--log", metavar="FILE", help="append one JSON line per received create")
    parser.add_argument("--pace", type=float, default=0.0005, help="longest pause after an event, seconds")
    parser.add_argument("--steer-wait", type=float, default=1.0, help="seconds a response waits for a steer")
    parser.add_argument("--lifetime", type=float, default=3600.0, help="seconds until a connection must end")
    server, stop, loop = Server(parser.parse_args()), asyncio.Event(), asyncio.get_running_loop()

    def wait_for_end_of_input():
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    async with serve(server.handle, "127.0.0.1", 0, max_size=MESSAGE_LIMIT,
                     process_request=server.refuse_other_paths) as listener:
        port = listener.sockets[0].getsockname()[1]
        print(json.dumps({"url": f"ws://127.0.0.1:{port}{PATH}"}), flush=True)
        threading.Thread(target=wait_for_end_of_input, daemon=True).start()
        await stop.wait()
        for connection in listener.connections:
            connection.transport.abort()  # do not wait for clients' closing handshakes


if __name__ == "__main__":
    asyncio.run(main())
