"""Herma's plugin for Hermes Agent: every tool call is asked about before it runs.

Hermes lets a call run when a hook fails. So nothing here may fail without saying `block`.
"""

import contextvars
import functools
import gc
import hashlib
import json
import queue
import threading
import time
from collections import namedtuple

from .daemon import Line, Unreachable

# A person is waited for this long, and this long for all calls of a turn: Hermes gives a silent
# agent up at 1800 s.
PATIENCE, TURN_PATIENCE = 840.0, 1500.0
SILENT = "[SILENT]"
ENVELOPE = "_herma"
# What an agent calls that nobody watches.
UNSEEN = ("clarify_callback", "read_terminal_callback", "step_callback")

# What was said of a call, until it has ended; a run of `execute_code`, as its calls find it.
Call = namedtuple("Call", "tool args line message edited keep told", defaults=[None] * 5)
Script = namedtuple("Script", "session call end")

_calls = {}
_inbox = queue.Queue(maxsize=1024)
_script = contextvars.ContextVar("herma_script", default=None)
_settings = {"patience": PATIENCE}


class Known:
    """What is known of a session, or of a person."""
    platform, chats, waited = "", (), 0.0
    sender = parent = tools = stream = None
    heard = grave = False


_known = functools.lru_cache(4096)(lambda name: Known())


def _tell(header, payload=b""):
    """One question that no person need decide."""
    with Line(_settings) as line:
        return line.ask(header, payload, silence=10.0)[0]


def _asker(session):
    """Who asks, and for whom: said every time, so that a restarted daemon knows."""
    known = _known(session)
    return {"session": session, "platform": known.platform, "chats": known.chats,
            "sender": known.sender, "parent": known.parent,
            "tools": known.tools if known.parent else None}


def _wait(line, session, header, payload, end=None):
    """A question that a person may have to decide."""
    known, begun = _known(session), time.monotonic()
    own = end - begun if end else PATIENCE
    patience = max(0.0, min(_settings["patience"], own, TURN_PATIENCE - known.waited))
    asked = {**_asker(session), **header, "patience_ms": int(patience * 1000)}
    try:
        return line.ask(asked, payload, patience)
    finally:
        known.waited += time.monotonic() - begun


def _refused(why):
    return f"REFUSED: {str(why) or type(why).__name__}. The call was not run."


def _id(tool_call_id):
    # Calls of a script have no id; they come one after the other, on a thread of their own.
    return tool_call_id or f"thread {threading.get_ident()}"


def _plain(tool, args):
    args = args if isinstance(args, dict) else {}
    marked = tool.startswith("mcp__")
    return {name: value for name, value in args.items() if name != ENVELOPE or not marked}


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


def _decide(tool, args, session, task, call_id):
    key, plain = _id(call_id), _plain(tool, args)
    known = _calls.get(key) if call_id else None
    if known and known.tool == tool and plain in (known.args, known.edited):
        return known
    if len(_calls) > 512:
        _calls.pop(list(_calls)[0], None)
    # Until there is an answer, whatever asks for this call finds a refusal.
    _calls[key] = Call(tool, plain, message=_refused("herma has not answered"))
    script = None if session else _script.get() or Script(f"task {task}", "task", None)
    call = call_id or f"{script.call if script else 'task'}/{time.time_ns()}"
    payload = json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
    line, end = Line(_settings), script and script.end
    header = {"say": "ask", "tool": tool, "call": call, "nested": bool(end)}
    answer, body = _wait(line, session or script.session, header, payload, end)
    if answer.get("do") == "allow":
        edited = json.loads(body) if answer.get("edited") else None
        _calls[key] = Call(tool, plain, line, None, edited, answer.get("keep"), answer.get("told"))
    else:
        line.close()
        why = answer.get("error") or "herma's answer cannot be read"
        _calls[key] = Call(tool, plain, message=answer.get("message") or _refused(why))
    return _calls[key]


def pre_tool_call(tool_name="", args=None, session_id="", task_id="", tool_call_id="", **_):
    try:
        message = _decide(tool_name, args, session_id, task_id, tool_call_id).message
    except Exception as error:
        message = _refused(error)
    return {"action": "block", "message": message} if message else None


def tool_request(tool_name="", args=None, session_id="", tool_call_id="", **_):
    """Marks calls to MCP servers, so that the proxy knows whose they are."""
    if tool_name.startswith("mcp__") and tool_call_id:
        mark = _tell({"say": "mark", "session": session_id, "call": tool_call_id})["mark"]
        return {"args": {**_plain(tool_name, args), ENVELOPE: {"hook": mark}}, "source": "herma"}


def _objection(call, tool, args, session):
    """Why a call may not run as it has come, if it may not."""
    if call.tool != tool:
        return _refused("nobody asked about this call")
    plain = _plain(tool, args)
    if not call.message and plain != call.edited and not _same(call.args, plain):
        return _refused("its arguments were changed after they were judged")
    if not call.message and tool == "execute_code":
        code = str((call.edited or plain).get("code", ""))
        _tell({"say": "script", "session": session, "tools": _known(session).tools,
               "sha256": hashlib.sha256(code.encode()).hexdigest()})
    return call.message


def tool_execution(tool_name="", args=None, next_call=None, session_id="", tool_call_id="", **more):
    """Nothing runs but what was allowed, whatever other plugins have said or changed since."""
    try:
        call = _calls.get(_id(tool_call_id))  # Newer versions of Hermes ask inside of this.
        call = call or _decide(tool_name, args, session_id, more.get("task_id"), tool_call_id)
        message = _objection(call, tool_name, args, session_id)
    except Exception as error:
        message = _refused(error)
    if message:
        return json.dumps({"error": message})
    if call.edited is not None:
        mark = args.keys() - _plain(tool_name, args).keys()
        args = {**call.edited, **{name: args[name] for name in mark}}
    # A script may run for 300 s, however long its calls wait.
    script = Script(session_id, tool_call_id, time.monotonic() + 280)
    token = _script.set(script if tool_name == "execute_code" else _script.get())
    try:
        result = next_call(args)
        fresh = call.told and isinstance(result, str) and not result.startswith(call.told)
        return f"{call.told}\n{result}" if fresh else result
    finally:
        _script.reset(token)


def post_tool_call(tool_call_id="", session_id="", status="", result=None, duration_ms=0, **_):
    call = _calls.pop(_id(tool_call_id), None)
    if status == "blocked":
        return  # By another plugin, if not by us: it did not run, and nobody saw it end.
    _known(session_id).waited = 0.0
    if call and call.line:
        text = result if isinstance(result, str) else json.dumps(result, default=str)
        body = text.encode(errors="replace")
        took_us = int(1000 * (duration_ms or 0))
        ended = {"say": "settle", "ok": status == "ok", "bytes": len(body), "took_us": took_us}
        with call.line as line:
            line.say(ended, body if call.keep else b"")


def _hear(session, text=""):
    answer = _tell({**_asker(session), "say": "hear"}, text.encode(errors="replace"))
    _known(session).grave = answer["crisis"]
    return answer["crisis"]


def pre_llm_call(session_id="", platform="", sender_id="", user_message="", **said):
    if platform == "subagent":
        return  # Its parent's words, not a person's.
    known = _known(session_id)
    earlier = not known.heard and said.get("conversation_history") or []
    # Heard again with the next turn if this fails; the answer of this one is asked about.
    known.heard, known.waited, known.platform = False, 0.0, platform or "cli"
    if platform == "cron":
        known.sender, known.chats = _job(session_id)  # And the words are the scheduler's.
    else:
        known.sender = str(sender_id or "") or None
        known.chats = _known((platform, known.sender)).chats
        words = [turn.get("content") for turn in earlier if turn.get("role") == "user"]
        for text in filter(lambda text: isinstance(text, str), [*words[-8:], user_message]):
            _hear(session_id, text)
    known.heard = True


def _job(session):
    """The job of a cron session, and everywhere its answer goes."""
    from cron.jobs import get_job
    from cron.scheduler import _resolve_delivery_targets
    job_id = session.removeprefix("cron_").rsplit("_", 2)[0]
    targets = _resolve_delivery_targets(get_job(job_id) or {})
    return job_id, [f"{target['platform']}:{target['chat_id']}" for target in targets]


def pre_gateway_dispatch(event=None, **_):
    """Runs on the event loop: what was said is handed to a thread."""
    source = event.source
    platform = str(getattr(source.platform, "value", source.platform))
    chat, sender = str(source.chat_id or ""), str(source.user_id or "") or None
    place = _known(f"chat {platform}:{chat}")
    place.platform, place.chats, place.sender = platform, [chat] if chat else [], sender
    _known((platform, sender)).chats = place.chats
    if not _inbox.full():
        _inbox.put((f"chat {platform}:{chat}", event.text or ""))


def _listen():
    while True:
        try:
            _hear(*_inbox.get())
        except Exception:
            time.sleep(0.2)  # Every turn is heard again, where waiting is allowed.


def pre_api_request(session_id="", request=None, **_):
    """Before the model answers: whether its answer may be watched, and which tools it has."""
    try:
        grave = _hear(session_id)
    except Exception:
        grave = True
    if grave:
        _mute(session_id)
    tools = ((request or {}).get("body") or {}).get("tools") or []
    names = [(tool.get("function") or tool).get("name") for tool in tools]
    # Its children and its scripts get no others. Behind `tool_call` stand tools not listed.
    listed = names and all(names) and "tool_call" not in names
    _known(session_id).tools = names if listed else None


def _mute(session):
    """Nobody sees an answer grow that no person has seen. Hermes hangs what streams it on the
    agent, anew for each turn, and gives no hook a handle on it."""
    from run_agent import AIAgent
    for agent in gc.get_referrers(AIAgent):
        if isinstance(agent, AIAgent) and getattr(agent, "session_id", None) == session:
            _known(session).stream = agent.stream_delta_callback or _known(session).stream
            for name in list(vars(agent)):
                if name.endswith("_callback") and name not in UNSEEN:
                    setattr(agent, name, None)


def transform_llm_output(response_text="", session_id="", platform="", **_):
    """The answer to the person. Whoever is in crisis gets none that no person has seen."""
    known = _known(session_id)
    if platform == "cron" and not known.heard:
        return SILENT  # Nobody knows where it would go.
    try:
        if platform == "subagent":
            return None
        payload = response_text.encode(errors="replace")
        with Line(_settings) as line:
            answer, body = _wait(line, session_id, {"say": "reply"}, payload)
        if answer.get("do") != "allow":
            return body.decode() or SILENT
        text = body.decode() if answer.get("edited") else None
        if known.stream and platform == "api_server":
            known.stream(text or response_text)  # Its clients hear nothing else.
        return text
    except Exception as error:
        if known.grave or not isinstance(error, Unreachable):
            return SILENT
        return f"This answer could not be checked, so it was not sent: {error}"


def subagent_start(parent_session_id="", child_session_id="", **_):
    _known(child_session_id).parent = parent_session_id


def subagent_stop(child_session_id="", **_):
    _tell({"say": "stop", "session": child_session_id})


def on_session_finalize(session_id="", **_):
    _tell({"say": "finalize", "session": session_id})


HOOKS = (pre_tool_call, post_tool_call, pre_llm_call, pre_gateway_dispatch, pre_api_request,
         transform_llm_output, subagent_start, subagent_stop, on_session_finalize)


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
    """What `plugins.entries.herma` says. Newer versions give a call up at 420 s, and a hook."""
    try:
        from importlib.metadata import version
        from hermes_cli.config import load_config
        plugins = load_config()["plugins"]
        settings = dict((plugins.get("entries") or {}).get("herma") or {})
        if [int(part) for part in version("hermes-agent").split(".")[:2]] >= [0, 20]:
            limit = float(plugins.get("hook_callback_timeout", 30)) or PATIENCE
            settings["patience"] = min(400.0, limit - 3)
        return settings
    except Exception:
        return {}
