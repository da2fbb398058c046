"""Items of a conversation as the lane test server sees them: digests, user texts, valid steering input.

The text of each response is a JSON object with these members:

  sha256        hash of the canonical JSON array of all items, exactly as received and as sent: the
                parent's input, the parent's output, the new input. A string as `input` counts as
                the item {"content": TEXT, "role": "user", "type": "message"}. Canonical JSON: keys
                sorted by code point, no spaces, non-ASCII characters unescaped, UTF-8.
  plain_sha256  the same over simplified items, so that a client which sends the history again in a
                slightly different form gets the same hash. A message becomes
                {"content": [...], "role": ROLE}, where a content string and a part with a string
                member `text` become that string and other parts stay as they are. Any other item
                loses its members `id` and `status` and its members that are null.
  items         number of items
  last_user     text of the last user message, or null
"""

import hashlib
import json

STEER_PARTS = ("input_text", "input_image", "input_file")


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False,
                      allow_nan=False).encode()


def input_items(value):
    """Return the list form of a request's `input`."""
    return [{"content": value, "role": "user", "type": "message"}] if isinstance(value, str) else value


def content_parts(item):
    """Return a message's content as a list, text parts as strings. Bad content is a list of itself."""
    content = item.get("content")
    parts = content if isinstance(content, list) else [content]
    return [p["text"] if isinstance(p, dict) and isinstance(p.get("text"), str) else p for p in parts]


def is_message(item):
    return item.get("type", "message") == "message" and "role" in item


def plain(item):
    if is_message(item):
        return {"content": content_parts(item), "role": item["role"]}
    return {k: v for k, v in item.items() if k not in ("id", "status") and v is not None}


def last_user_text(items, otherwise=None):
    for item in reversed(items):
        if is_message(item) and item["role"] == "user":
            return "".join(p for p in content_parts(item) if isinstance(p, str))
    return otherwise


class History:
    """What the server knows of a conversation. It keeps running hashes, not the items themselves."""

    def __init__(self):
        self.hashes = [hashlib.sha256(b"["), hashlib.sha256(b"[")]
        self.count, self.size, self.last_user = 0, 0, None

    def extended(self, items):
        """Return the history with `items` added. This history stays as it is, for forks."""
        new = History()
        new.hashes = [h.copy() for h in self.hashes]
        new.count, new.size = self.count, self.size
        new.last_user = last_user_text(items, self.last_user)
        for item in items:
            for number, form in enumerate((canonical(item), canonical(plain(item)))):
                new.hashes[number].update((b"," if new.count else b"") + form)
                new.size += len(form) if number == 0 else 0
            new.count += 1
        return new

    def text(self):
        full = [h.copy() for h in self.hashes]
        for h in full:
            h.update(b"]")
        return json.dumps({"sha256": full[0].hexdigest(), "plain_sha256": full[1].hexdigest(),
                           "items": self.count, "last_user": self.last_user}, ensure_ascii=False)


def valid_steer_input(given):
    if isinstance(given, str):
        return given != ""
    return isinstance(given, list) and given != [] and all(valid_steer_message(m) for m in given)


def valid_steer_message(message):
    if not isinstance(message, dict) or not {"role", "content"} <= set(message) <= {"type", "role", "content"}:
        return False
    if message["role"] != "user" or message.get("type", "message") != "message":
        return False
    content = message["content"]
    return isinstance(content, str) or (isinstance(content, list) and content != [] and all(
        isinstance(part, dict) and part.get("type") in STEER_PARTS for part in content))
