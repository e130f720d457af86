"""Herma's plugin for Hermes Agent: every tool call is asked about before it runs.

Hermes lets a call run when a hook fails. So nothing here may fail without saying `block`.
"""

import collections
import contextvars
import hashlib
import hmac
import json
import queue
import threading
import time
import uuid

from .daemon import Line, Unreachable, socket_path

# A person is waited for this long, and this long for all calls of a turn: Hermes gives a silent agent up at 1800 s.
PATIENCE = 840.0
TURN_PATIENCE = 1500.0
# A script may run for 300 s, however long its calls wait.
SCRIPT_PATIENCE = 280.0
# Newer versions of Hermes end a hook themselves, and take that for a refusal.
HOOK_MARGIN = 3.0
HEARING = 10.0
REMEMBERED = 512
SILENT = "[SILENT]"
ENVELOPE = "_herma"

_lock = threading.RLock()
_calls = collections.OrderedDict()
_waited = {}
_chats = collections.OrderedDict()
_people = collections.OrderedDict()
_parents = collections.OrderedDict()
_grave = set()
_inbox = queue.Queue(maxsize=1024)
_script = contextvars.ContextVar("herma_script", default=None)
_settings = {}
_key = None


class Call:
    """What was said of a call, kept until it has ended."""

    def __init__(self, tool, args, line=None, message=None, edited=None, keep=False, told=None):
        self.tool, self.args, self.line = tool, args, line
        self.message, self.edited, self.keep, self.told = message, edited, keep, told
        self.started = time.monotonic()

    def close(self):
        if self.line:
            self.line.close()


class Script:
    """A run of `execute_code`, as its nested calls find it."""

    def __init__(self, session, call):
        self.session, self.call = session, call
        self.end = time.monotonic() + SCRIPT_PATIENCE


def _line():
    return Line(socket_path(_settings.get("data_dir")), _settings.get("token"))


def _tell(header, payload=b"", wait=HEARING):
    """One question that no person need decide."""
    line = _line()
    try:
        return line.ask(header, payload, silence=wait)
    finally:
        line.close()


def _refused(why):
    return f"REFUSED: {why}. The call was not run."


def _id(tool_call_id):
    # Calls of a script have no id; they come one after the other, on a thread of their own.
    return tool_call_id or f"thread {threading.get_ident()}"


def _plain(tool, args):
    args = args if isinstance(args, dict) else {}
    return {name: value for name, value in args.items() if name != ENVELOPE} if _is_mcp(tool) else args


def _is_mcp(tool):
    return tool.startswith("mcp__")


def _same(asked, now):
    """Hermes reads numbers and lists out of strings after it has asked."""
    def equal(a, b):
        if a == b and type(a) is type(b):
            return True
        try:
            return isinstance(a, str) and not isinstance(b, str) and json.loads(a.lower()) == b
        except ValueError:
            return False
    return asked.keys() == now.keys() and all(equal(asked[name], now[name]) for name in asked)


def _asker(session, call=""):
    """Who asks, and for whom: said every time, so that a restarted daemon knows."""
    platform, chat, sender = _people.get(session, ("", None, None))
    return {"session": session, "call": call, "platform": platform, "chat": chat, "sender": sender,
            "parent": _parents.get(session)}


def _put(where, key, value):
    with _lock:
        where[key] = value
        if len(where) > 4 * REMEMBERED:
            where.popitem(last=False)


def _patience(session, script):
    limits = [PATIENCE, TURN_PATIENCE - _waited.get(session, 0.0)]
    if script:
        limits.append(script.end - time.monotonic())
    if _settings.get("hook_limit"):
        limits.append(_settings["hook_limit"] - HOOK_MARGIN)
    return max(0.0, min(limits))


def _remember(key, call):
    with _lock:
        old = _calls.pop(key, None)
        _calls[key] = call
        lost = _calls.popitem(last=False)[1] if len(_calls) > REMEMBERED else None
    for gone in (old, lost):
        if gone:
            gone.close()
    return call


def _decide(tool, args, session, task, call_id):
    key, plain = _id(call_id), _plain(tool, args)
    with _lock:
        known = _calls.get(key) if call_id else None
    if known and known.tool == tool and known.args == plain:
        return known
    # Until there is an answer, whatever asks for this call finds a refusal.
    _remember(key, Call(tool, plain, message=_refused("herma has not answered")))
    script = None if session else _script.get()
    call = call_id or f"{script.call if script else 'task'}/{uuid.uuid4().hex[:12]}"
    asker = _asker(session or (script.session if script else f"task {task}"), call)
    patience = _patience(asker["session"], script)
    payload = json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
    line, begun, kept = _line(), time.monotonic(), False
    try:
        header = {"say": "ask", "tool": tool, "nested": bool(script), "patience_ms": int(patience * 1000), **asker}
        answer, body = line.ask(header, payload, patience)
        if answer.get("do") == "allow":
            edited = json.loads(body) if answer.get("edited") else None
            kept = True
            return _remember(key, Call(tool, plain, line, None, edited, bool(answer.get("keep")), answer.get("told")))
        message = answer.get("message") if answer.get("do") == "block" else None
        unreadable = _refused(answer.get("error") or "herma's answer cannot be read")
        return _remember(key, Call(tool, plain, message=message or unreadable))
    finally:
        _waited[asker["session"]] = _waited.get(asker["session"], 0.0) + time.monotonic() - begun
        if not kept:
            line.close()


def pre_tool_call(tool_name="", args=None, session_id="", task_id="", tool_call_id="", **_):
    try:
        message = _decide(tool_name, args, session_id, task_id, tool_call_id).message
        return {"action": "block", "message": message} if message else None
    except Exception as error:
        return {"action": "block", "message": _refused(str(error) or type(error).__name__)}


def tool_request(tool_name="", args=None, session_id="", tool_call_id="", **_):
    """Marks calls to MCP servers, so that the proxy knows whose they are. The model cannot: it lacks the key."""
    try:
        if not _is_mcp(tool_name) or not tool_call_id:
            return None
        key, agent = _secret()
        code = hmac.new(key, "\0".join([agent, session_id, tool_call_id]).encode(), hashlib.sha256)
        mark = {"agent": agent, "session": session_id, "call": tool_call_id, "proof": code.hexdigest()}
        return {"args": {**_plain(tool_name, args), ENVELOPE: {"hook": mark}}, "source": "herma"}
    except Exception:
        return None  # No key, no daemon: the question that follows says so.


def _secret():
    global _key
    if _key is None:
        welcome, _ = _tell({"say": "hello"})
        _key = bytes.fromhex(welcome["key"]), welcome["agent"]
    return _key


def tool_execution(tool_name="", args=None, next_call=None, session_id="", tool_call_id="", **_):
    """Nothing runs but what was allowed, whatever other plugins have said or changed since."""
    token = None
    try:
        with _lock:
            call = _calls.get(_id(tool_call_id))
        plain = _plain(tool_name, args)
        if call is None or call.tool != tool_name:
            return json.dumps({"error": _refused("nobody asked about this call")})
        if call.message:
            return json.dumps({"error": call.message})
        if not _same(call.args, plain) and plain != call.edited:
            return json.dumps({"error": _refused("its arguments were changed after they were judged")})
        if call.edited is not None:
            kept = {ENVELOPE: args[ENVELOPE]} if _is_mcp(tool_name) and ENVELOPE in args else {}
            args = {**call.edited, **kept}
        if tool_name == "execute_code":
            token = _script.set(Script(session_id, tool_call_id))
            digest = hashlib.sha256(str(args.get("code", "")).encode()).hexdigest()
            _tell({"say": "script", "session": session_id, "sha256": digest})
    except Exception as error:
        if token:
            _script.reset(token)
        return json.dumps({"error": _refused(str(error) or type(error).__name__)})
    try:
        result = next_call(args)
        fresh = call.told and isinstance(result, str) and not result.startswith(call.told)
        return f"{call.told}\n{result}" if fresh else result
    finally:
        if token:
            _script.reset(token)


def post_tool_call(tool_call_id="", session_id="", status="", result=None, duration_ms=0, **_):
    with _lock:
        call = _calls.pop(_id(tool_call_id), None)
        if status != "blocked":
            _waited.pop(session_id, None)
    if not call or not call.line:
        return
    try:
        body = result if isinstance(result, str) else json.dumps(result, default=str)
        body = body.encode(errors="replace")
        ended = {"say": "settle", "ok": status == "ok", "bytes": len(body),
                 "took_us": int(float(duration_ms or 0) * 1000)}
        if status != "blocked":  # Another plugin's refusal: it did not run, and nobody saw it end.
            call.line.say(ended, body if call.keep else b"")
    except Exception:
        pass  # The record says that the end is not known.
    finally:
        call.close()


def _hear(session, text):
    answer, _ = _tell({"say": "hear", **_asker(session)}, text.encode(errors="replace"))
    (_grave.add if answer.get("crisis") else _grave.discard)(session)


def pre_llm_call(session_id="", platform="", sender_id="", user_message="", conversation_history=None, **_):
    known = session_id in _people
    try:
        if platform == "subagent":
            return  # Its parent's words, not a person's.
        sender, texts = str(sender_id or "") or None, [str(user_message or "")]
        if platform == "cron":
            sender, chat = _job(session_id)
            texts = []  # The scheduler's words.
        else:
            chat = _chats.get((platform, sender))
            earlier = [] if known else [turn.get("content") for turn in conversation_history or []
                                        if turn.get("role") == "user"]
            texts = [text for text in earlier[-8:] if isinstance(text, str)] + texts
        _put(_people, session_id, (platform or "cli", chat, sender))
        for text in texts:
            _hear(session_id, text)
    except Exception:
        if not known:
            _people.pop(session_id, None)  # Heard again with the next turn; the answer of this one is asked about.


def _job(session):
    """The job of a cron session, and where its answer goes."""
    job_id = session.removeprefix("cron_").rsplit("_", 2)[0]
    try:
        from cron.jobs import get_job
        job = get_job(job_id) or {}
        deliver, origin = str(job.get("deliver") or ""), job.get("origin") or {}
        return job_id, str(origin.get("chat_id") or "") or None if deliver == "origin" else deliver or None
    except Exception:
        return job_id, None


def pre_gateway_dispatch(event=None, **_):
    """Runs on the event loop: what was said is handed to a thread."""
    try:
        source = event.source
        platform = str(getattr(source.platform, "value", source.platform))
        chat, sender = str(source.chat_id or "") or None, str(source.user_id or "") or None
        _put(_chats, (platform, sender), chat)
        place = f"chat {platform}:{chat}"
        _put(_people, place, (platform, chat, sender))
        _inbox.put_nowait((place, event.text or ""))
    except Exception:
        pass  # Every turn is heard again, where waiting is allowed.


def _listen():
    while True:
        said = _inbox.get()
        try:
            _hear(*said)
        except Exception:
            time.sleep(0.2)


def transform_llm_output(response_text="", session_id="", platform="", **_):
    """The answer to the person. Whoever is in crisis gets none that no person has seen."""
    try:
        if platform == "subagent":
            return None
        patience = _patience(session_id, None)
        line = _line()
        try:
            header = {"say": "reply", **_asker(session_id), "patience_ms": int(patience * 1000)}
            answer, body = line.ask(header, response_text.encode(errors="replace"), patience)
        finally:
            line.close()
        if answer.get("do") == "allow":
            return body.decode() if answer.get("edited") else None
        return body.decode() or SILENT
    except Exception as error:
        if session_id in _grave or not isinstance(error, Unreachable):
            return SILENT
        return f"This answer could not be checked, so it was not sent: {error}"


def subagent_start(parent_session_id="", child_session_id="", **_):
    _put(_parents, child_session_id, parent_session_id)


def subagent_stop(child_session_id="", **_):
    if child_session_id:
        _tell({"say": "stop", "session": child_session_id})


def on_session_finalize(session_id="", **_):
    with _lock:
        _waited.pop(session_id, None)
    if session_id:
        _tell({"say": "finalize", "session": session_id})


HOOKS = (pre_tool_call, post_tool_call, pre_llm_call, pre_gateway_dispatch, transform_llm_output, subagent_start,
         subagent_stop, on_session_finalize)


def register(ctx):
    _settings.update(_configured())
    for hook in HOOKS:
        ctx.register_hook(hook.__name__, hook)
    ctx.register_middleware("tool_request", tool_request)
    ctx.register_middleware("tool_execution", tool_execution)
    # The first directive wins, so ours is asked first where Hermes lets us.
    for callbacks in getattr(getattr(ctx, "_manager", None), "_hooks", {}).values():
        callbacks.sort(key=lambda callback: callback not in HOOKS)
    threading.Thread(target=_listen, name="herma-listen", daemon=True).start()


def _configured():
    """What `plugins.entries.herma` says, and how long this Hermes lets a hook run."""
    try:
        from importlib.metadata import version

        from hermes_cli.config import load_config
        plugins = (load_config() or {}).get("plugins") or {}
        settings = dict((plugins.get("entries") or {}).get("herma") or {})
        if tuple(int(part) for part in version("hermes-agent").split(".")[:2]) >= (0, 21):
            settings["hook_limit"] = float(plugins.get("hook_callback_timeout", 30))
        return settings
    except Exception:
        return {}
