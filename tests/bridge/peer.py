"""A stdio server that does what its caller names. It speaks both eras as far as the tests need it."""
import json
import os
import subprocess
import sys
import threading
import time

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
out = threading.Lock()
seen = []
listens = []
waiting = {}
released = threading.Event()


def write(data):
    with out:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def send(**frame):
    write(json.dumps({"jsonrpc": "2.0", **frame}, ensure_ascii=False).encode() + b"\n")


def text(id, said, **more):
    send(id=id, result={"content": [{"type": "text", "text": said}], "resultType": "complete", **more})


def call(frame, line):
    id, params = frame["id"], frame["params"]
    tool, given = params["name"], params.get("arguments", {})
    token = params.get("_meta", {}).get("progressToken")
    if tool == "echo":
        text(id, line.decode().rstrip("\n"), pid=os.getpid())
    elif tool == "progress":
        for step in range(given["steps"]):
            send(method="notifications/progress", params={"progressToken": token, "progress": step + 1})
        text(id, "done")
    elif tool == "ask":
        send(id=0, method="roots/list")
        waiting[0] = lambda answer: text(id, json.dumps(answer))
    elif tool == "sample":
        message = {"role": "user", "content": {"type": "text", "text": "hello"}}
        send(id=1, method="sampling/createMessage", params={"messages": [message], "maxTokens": 10})
        waiting[1] = lambda answer: text(id, json.dumps(answer))
    elif tool == "wait":
        send(method="notifications/message", params={"level": "info", "data": "waiting"})
        threading.Thread(target=lambda: (released.wait(), text(id, given.get("say", "released")))).start()
    elif tool == "release":
        released.set()
        text(id, "ok")
    elif tool == "die":
        os._exit(3)
    elif tool == "family":
        child = subprocess.Popen(["sleep", "600"])
        text(id, json.dumps([os.getppid(), os.getpid(), child.pid]))
    elif tool == "big":
        text(id, "é" * given["size"])
    elif tool == "junk":
        write(b"[INFO] starting\nnot json\n{broken\n\n")
        sys.stderr.write("e" * 200_000 + "\n")
        sys.stderr.flush()
        whole = json.dumps({"jsonrpc": "2.0", "id": id, "result": {"content": [], "a": "aé"}}, ensure_ascii=False)
        for byte in whole.encode() + b"\r\n":
            write(bytes([byte]))
    elif tool == "env":
        text(id, json.dumps(dict(os.environ)))
    elif tool == "notes":
        for n in range(given["count"]):
            send(method="notifications/message", params={"level": "info", "data": n})
        text(id, "done")
    elif tool == "seen":
        text(id, json.dumps(seen))
    elif tool == "change":
        for listen in listens:
            send(method="notifications/tools/list_changed", params={"_meta": {SUBSCRIPTION: listen}})
        text(id, "ok")


for line in sys.stdin.buffer:
    frame = json.loads(line)
    method = frame.get("method")
    if method == "initialize":
        if frame["params"].get("fail"):
            send(id=frame["id"], error={"code": -32602, "message": "no"})
            continue
        send(id=frame["id"], result={"protocolVersion": "2025-11-25", "capabilities": {}, "pid": os.getpid()})
    elif method == "server/discover":
        if "legacy" in sys.argv:
            # As one that is still being started.
            time.sleep(1.5)
            send(id=frame["id"], error={"code": -32601, "message": "no such method"})
        else:
            send(id=frame["id"], result={"resultType": "complete", "supportedVersions": ["2026-07-28"]})
    elif method == "subscriptions/listen":
        listens.append(frame["id"])
        send(method="notifications/subscriptions/acknowledged", params={"_meta": {SUBSCRIPTION: frame["id"]}})
    elif method == "tools/list":
        tool = {"name": "echo", "description": "says it again", "inputSchema": {"type": "object"}}
        send(id=frame["id"], result={"tools": [tool], "resultType": "complete", "pid": os.getpid()})
    elif method == "tools/call":
        call(frame, line)
    elif method == "ping":
        send(id=frame["id"], result={})
    elif method is None:
        waiting.pop(frame["id"])(frame.get("result", frame.get("error")))
    elif "id" not in frame:
        seen.append(frame)
        if method == "notifications/initialized":
            send(id=77, method="ping")
            waiting[77] = lambda answer: seen.append({"pong": answer})
    else:
        send(id=frame["id"], error={"code": -32601, "message": "no such method"})
