"""A model that says what it was told to say: an OpenAI-compatible server on loopback.

`model.py STEPS LOG` prints its port. Each request with tools takes the next step of STEPS; of several conversations at
once, the one whose first words name a script (`script:NAME`) takes the steps under that name."""

import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STEPS = json.load(open(sys.argv[1]))
LOG = open(sys.argv[2], "a")
lock, taken = threading.Lock(), {}


def step_for(messages):
    words = " ".join(str(message.get("content")) for message in messages if message.get("role") == "user")
    names = re.findall(r"script:([a-z0-9-]+)", words)
    name = names[-1] if names else "main"
    steps = STEPS.get(name, [{"text": "nothing to do"}])
    with lock:
        number = taken.get(name, 0)
        taken[name] = number + 1
        LOG.write(json.dumps({"script": name, "last": messages[-6:]}) + "\n")
        LOG.flush()
    return f"{name}-{number}", steps[min(number, len(steps) - 1)]


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, code=200):
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        if self.path.rstrip("/").endswith("/v1/models") and not self.path.startswith("/api"):
            return self.answer({"object": "list", "data": [
                {"id": "stub-1", "object": "model", "context_length": 131072}]})
        self.answer({"error": "nothing here"}, 404)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number, step = step_for(body["messages"]) if body.get("tools") else ("0", {"text": "APPROVE"})
        time.sleep(step.get("after", 0))
        calls = [{"id": f"call_{number}_{index}", "type": "function",
                  "function": {"name": call["name"], "arguments": json.dumps(call["args"])}}
                 for index, call in enumerate(step.get("calls", []))]
        finish = "tool_calls" if calls else "stop"
        base = {"id": f"c{number}", "created": int(time.time()), "model": "stub-1"}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        if not body.get("stream"):
            message = {"role": "assistant", "content": step.get("text"), **({"tool_calls": calls} if calls else {})}
            choice = {"index": 0, "message": message, "finish_reason": finish}
            return self.answer({**base, "object": "chat.completion", "choices": [choice], "usage": usage})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()

        def event(delta=None, finish=None, **more):
            choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
            chunk = {**base, "object": "chat.completion.chunk", "choices": choices, **more}
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

        event({"role": "assistant", "content": step.get("text") or ""})
        for index, call in enumerate(calls):
            event({"tool_calls": [{"index": index, **call}]})
        event({}, finish)
        event(usage=usage)
        self.wfile.write(b"data: [DONE]\n\n")
        self.wfile.flush()
        self.close_connection = True


server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
print(server.server_address[1], flush=True)
server.serve_forever()
