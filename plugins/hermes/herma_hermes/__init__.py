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
_tools = collections.OrderedDict()
_grave = set()
_inbox = queue.Queue(maxsize=1024)
_script = contextvars.ContextVar("herma_script", default=None)
_settings = {}
_key = None


# What was said of a call, kept until it has ended; and a run of `execute_code`, as its nested calls find it.
Call = collections.namedtuple("Call", "tool args line message edited keep told", defaults=[None] * 5)
Script = collections.namedtuple("Script", "session call end")


def _line():
    return Line(socket_path(_settings.get("data_dir")), _settings.get("token"))


def _tell(header, payload=b""):
    """One question that no person need decide."""
    with _line() as line:
        return line.ask(header, payload, silence=HEARING)


def _refused(why):
    return f"REFUSED: {why}. The call was not run."


def _id(tool_call_id):
    # Calls of a script have no id; they come one after the other, on a thread of their own.
    return tool_call_id or f"thread {threading.get_ident()}"


def _plain(tool, args):
    args = args if isinstance(args, dict) else {}
    return {name: value for name, value in args.items() if name != ENVELOPE or not tool.startswith("mcp__")}


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
    parent = _parents.get(session)
    return {"session": session, "call": call, "platform": platform, "chat": chat, "sender": sender,
            "parent": parent, "tools": _tools.get(session) if parent else None}


def _put(where, key, value):
    with _lock:
        where[key] = value
        if len(where) > 4 * REMEMBERED:
            where.popitem(last=False)


def _patience(session, script):
    own = script.end - time.monotonic() if script else PATIENCE
    hook = (_settings.get("hook_limit") or PATIENCE + HOOK_MARGIN) - HOOK_MARGIN
    return max(0.0, min(PATIENCE, own, hook, TURN_PATIENCE - _waited.get(session, 0.0)))


def _remember(key, call):
    with _lock:
        gone = [_calls.pop(key, None)]
        _calls[key] = call
        if len(_calls) > REMEMBERED:
            gone.append(_calls.popitem(last=False)[1])
    for old in gone:
        if old and old.line:
            old.line.close()
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
    header = {"say": "ask", "tool": tool, "nested": bool(script), "patience_ms": int(patience * 1000), **asker}
    payload = json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
    line, begun, told = _line(), time.monotonic(), None
    try:
        answer, body = line.ask(header, payload, patience)
        if answer.get("do") == "allow":
            edited = json.loads(body) if answer.get("edited") else None
            told = Call(tool, plain, line, None, edited, answer.get("keep"), answer.get("told"))
        else:
            unreadable = _refused(answer.get("error") or "herma's answer cannot be read")
            message = answer.get("message") if answer.get("do") == "block" else None
            return _remember(key, Call(tool, plain, message=message or unreadable))
        return _remember(key, told)
    finally:
        _waited[asker["session"]] = _waited.get(asker["session"], 0.0) + time.monotonic() - begun
        if not told:
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
        if not tool_name.startswith("mcp__") or not tool_call_id:
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


def _allowed(tool, args, session, call_id):
    """The call as it was allowed, and the arguments it runs with."""
    with _lock:
        call = _calls.get(_id(call_id))
    if call is None or call.tool != tool:
        raise ValueError(_refused("nobody asked about this call"))
    if call.message:
        raise ValueError(call.message)
    plain = _plain(tool, args)
    if not _same(call.args, plain) and plain != call.edited:
        raise ValueError(_refused("its arguments were changed after they were judged"))
    if call.edited is not None:
        mark = {ENVELOPE: args[ENVELOPE]} if len(plain) < len(args) else {}
        args = {**call.edited, **mark}
    if tool == "execute_code":
        digest = hashlib.sha256(str(args.get("code", "")).encode()).hexdigest()
        _tell({"say": "script", "session": session, "sha256": digest, "tools": _tools.get(session)})
    return call, args


def tool_execution(tool_name="", args=None, next_call=None, session_id="", tool_call_id="", **_):
    """Nothing runs but what was allowed, whatever other plugins have said or changed since."""
    try:
        call, args = _allowed(tool_name, args, session_id, tool_call_id)
    except Exception as error:
        why = str(error) if isinstance(error, ValueError) else _refused(str(error) or type(error).__name__)
        return json.dumps({"error": why})
    script = Script(session_id, tool_call_id, time.monotonic() + SCRIPT_PATIENCE)
    token = _script.set(script if tool_name == "execute_code" else _script.get())
    try:
        result = next_call(args)
        fresh = call.told and isinstance(result, str) and not result.startswith(call.told)
        return f"{call.told}\n{result}" if fresh else result
    finally:
        _script.reset(token)


def post_tool_call(tool_call_id="", session_id="", status="", result=None, duration_ms=0, **_):
    with _lock:
        call = _calls.pop(_id(tool_call_id), None)
        if status != "blocked":
            _waited.pop(session_id, None)
    if not call or not call.line:
        return
    try:
        body = (result if isinstance(result, str) else json.dumps(result, default=str)).encode(errors="replace")
        ended = {"say": "settle", "ok": status == "ok", "bytes": len(body), "took_us": int(1000 * (duration_ms or 0))}
        if status != "blocked":  # Another plugin's refusal: it did not run, and nobody saw it end.
            call.line.say(ended, body if call.keep else b"")
    except Exception:
        pass  # The record says that the end is not known.
    finally:
        call.line.close()


def _hear(session, text):
    answer, _ = _tell({"say": "hear", **_asker(session)}, text.encode(errors="replace"))
    (_grave.add if answer.get("crisis") else _grave.discard)(session)


def pre_llm_call(session_id="", platform="", sender_id="", user_message="", conversation_history=None, **_):
    known = session_id in _people
    try:
        if platform == "subagent":
            return  # Its parent's words, not a person's.
        if platform == "cron":
            (sender, chat), texts = _job(session_id), []  # The scheduler's words.
        else:
            sender = str(sender_id or "") or None
            chat = _chats.get((platform, sender))
            earlier = [turn.get("content") for turn in conversation_history or [] if turn.get("role") == "user"]
            texts = [*([] if known else earlier[-8:]), str(user_message or "")]
        _put(_people, session_id, (platform or "cli", chat, sender))
        for text in texts:
            if isinstance(text, str):
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
        with _line() as line:
            header = {"say": "reply", **_asker(session_id), "patience_ms": int(patience * 1000)}
            answer, body = line.ask(header, response_text.encode(errors="replace"), patience)
        if answer.get("do") == "allow":
            return body.decode() if answer.get("edited") else None
        return body.decode() or SILENT
    except Exception as error:
        if session_id in _grave or not isinstance(error, Unreachable):
            return SILENT
        return f"This answer could not be checked, so it was not sent: {error}"


def pre_api_request(session_id="", request=None, **_):
    """Which tools a session has: its children and its scripts get no others."""
    tools = ((request or {}).get("body") or {}).get("tools") or []
    names = [(tool.get("function") or tool).get("name") for tool in tools]
    # Behind `tool_call` stand tools that are not listed.
    _put(_tools, session_id, names if names and all(names) and "tool_call" not in names else None)


def subagent_start(parent_session_id="", child_session_id="", **_):
    _put(_parents, child_session_id, parent_session_id)


def subagent_stop(child_session_id="", **_):
    _end("stop", child_session_id)


def on_session_finalize(session_id="", **_):
    _end("finalize", session_id)


def _end(how, session):
    _waited.pop(session, None)
    if session:
        _tell({"say": how, "session": session})


HOOKS = (pre_tool_call, post_tool_call, pre_llm_call, pre_gateway_dispatch, transform_llm_output, pre_api_request,
         subagent_start, subagent_stop, on_session_finalize)


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
