"""The plugin without Hermes, against daemons that do everything wrong. Run with `python -m unittest`."""

import json
import os
import socket
import struct
import sys
import tempfile
import threading
import time
import types
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.dont_write_bytecode = True

import herma_hermes as plugin  # noqa: E402
from herma_hermes import daemon  # noqa: E402


def frame(header, payload=b""):
    head = json.dumps(header).encode()
    return struct.pack("<II", len(head), len(payload)) + head + payload


class Daemon:
    """Answers every connection with `play(read, write)`; `read` gives the next message."""

    def __init__(self, play):
        self.dir = tempfile.TemporaryDirectory()
        self.heard = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(self.dir.name, "control.sock"))
        self.listener.listen(16)
        self.play = play
        threading.Thread(target=self.accept, daemon=True).start()
        os.environ["HERMA_DATA_DIR"] = self.dir.name

    def accept(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    def serve(self, stream):
        def read():
            head, payload = struct.unpack("<II", self.exactly(stream, 8))
            message = json.loads(self.exactly(stream, head)), self.exactly(stream, payload)
            self.heard.append(message)
            return message
        try:
            read()
            self.play(read, stream.sendall)
        except (OSError, EOFError):
            pass
        finally:
            stream.close()

    @staticmethod
    def exactly(stream, length):
        data = b""
        while len(data) < length:
            part = stream.recv(length - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def close(self):
        self.listener.close()
        self.dir.cleanup()

    def said(self, what):
        return [(message, payload) for message, payload in self.heard if message.get("say") == what]


def allowing(read, write):
    while True:
        message, _ = read()
        if message["say"] == "mark":
            mark = {"session": message["session"], "call": message["call"], "proof": "00" * 32}
            write(frame({"do": "marked", "mark": mark}))
        elif message["say"] in ("ask", "reply"):
            write(frame({"do": "allow", "edited": False, "keep": False}))
        elif message["say"] != "settle":
            write(frame({"do": "noted", "crisis": False}))


def ask(tool="terminal", args=None, call="c1", **more):
    return plugin.pre_tool_call(tool_name=tool, args=args or {"command": "ls"}, session_id="s", tool_call_id=call,
                                **more)


class Plugin(unittest.TestCase):
    def setUp(self):
        self.daemons = []
        plugin._calls.clear()
        plugin._known.cache_clear()
        daemon.SILENCE = 0.5
        daemon.Line.ask.__defaults__ = (b"", 0.0, 0.5)
        os.environ["HERMA_DATA_DIR"] = "/nonexistent"

    def tearDown(self):
        for known in self.daemons:
            known.close()

    def daemon(self, play):
        self.daemons.append(Daemon(play))
        return self.daemons[-1]

    def blocked(self, said):
        self.assertEqual(said["action"], "block")
        self.assertTrue(said["message"])
        return said["message"]

    def test_without_a_daemon_everything_is_blocked(self):
        self.assertIn("herma serve", self.blocked(ask()))

    def test_whatever_goes_wrong_is_a_block(self):
        def closes(read, write):
            read()

        def garbage(read, write):
            read()
            write(b"\xff" * 64)

        def huge(read, write):
            read()
            write(struct.pack("<II", 1 << 31, 0))

        def not_json(read, write):
            read()
            write(struct.pack("<II", 3, 0) + b"{{{")

        def not_an_object(read, write):
            read()
            write(frame([1]))

        def an_unknown_word(read, write):
            read()
            write(frame({"do": "perhaps"}))

        def silent(read, write):
            read()
            time.sleep(3)

        def byte_by_byte(read, write):
            read()
            for byte in frame({"do": "allow"}):
                write(bytes([byte]))
                time.sleep(0.1)

        def half(read, write):
            read()
            write(frame({"do": "allow", "edited": True}, b"{"))

        def dies_while_holding(read, write):
            read()
            write(frame({"do": "held", "hold": "h-1"}))

        plays = [closes, garbage, huge, not_json, not_an_object, an_unknown_word, silent, byte_by_byte, half,
                 dies_while_holding]
        for number, play in enumerate(plays):
            with self.subTest(play.__name__):
                self.daemon(play)
                self.blocked(ask(call=f"c{number}"))

    def test_arguments_that_cannot_be_told_are_blocked(self):
        self.daemon(allowing)
        for args in ({"a": float("nan")}, {"a": "\ud800"}, {"a": object()}, {1: {2, 3}}):
            self.blocked(ask(args=args, call=f"c{id(args)}"))

    def test_a_refusal_comes_in_its_own_words(self):
        self.daemon(lambda read, write: (read(), write(frame({"do": "block", "message": "no", "code": "blocked"}))))
        self.assertEqual(ask(), {"action": "block", "message": "no"})

    def test_a_hold_lasts_as_long_as_signs_of_life_come(self):
        def holds(read, write):
            read()
            for _ in range(6):
                write(frame({"do": "held", "hold": "h-1"}))
                time.sleep(0.2)
            write(frame({"do": "allow", "edited": False}))
            read()
        self.daemon(holds)
        self.assertIsNone(ask())

    def test_a_call_is_asked_about_once_and_settled_once(self):
        known = self.daemon(allowing)
        self.assertIsNone(ask())
        self.assertIsNone(ask())
        plugin.post_tool_call(tool_call_id="c1", session_id="s", status="ok", result="out", duration_ms=3)
        plugin.post_tool_call(tool_call_id="c1", session_id="s", status="ok", result="out", duration_ms=3)
        deadline = time.monotonic() + 5
        while not known.said("settle") and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(len(known.said("ask")), 1)
        self.assertEqual([message["took_us"] for message, _ in known.said("settle")], [3000])

    def test_nothing_runs_that_was_not_allowed_as_it_is(self):
        ran = []
        run = lambda args: ran.append(args) or "ran"
        execute = lambda **more: plugin.tool_execution(
            **{"tool_name": "terminal", "args": {"command": "ls"}, "next_call": run, "session_id": "s",
               "tool_call_id": "c1", **more})
        self.assertIn("error", json.loads(execute()))
        self.blocked(ask())
        self.assertIn("error", json.loads(execute()))
        self.daemon(allowing)
        self.assertIsNone(ask(call="c2"))
        self.assertIn("error", json.loads(execute(tool_call_id="c2", args={"command": "rm"})))
        self.assertIn("error", json.loads(execute(tool_call_id="c2", tool_name="other")))
        self.assertEqual(ran, [])
        self.assertEqual(execute(tool_call_id="c2"), "ran")
        self.assertEqual(execute(tool_call_id="c2"), "ran")

    def test_numbers_that_hermes_reads_out_of_strings_are_the_same_arguments(self):
        self.assertTrue(plugin._same({"a": "5", "b": "True"}, {"a": 5, "b": True}))
        for asked, now in (({"a": "5"}, {"a": 6}), ({"a": "x"}, {"a": "y"}), ({"a": 1}, {}), ({"a": 1}, {"a": True})):
            self.assertFalse(plugin._same(asked, now), (asked, now))

    def test_arguments_that_a_person_changed_are_those_that_run(self):
        self.daemon(lambda read, write: (
            read(), write(frame({"do": "allow", "edited": True}, b'{"command": "ls -l"}')), read()))
        self.assertIsNone(ask())
        ran = []
        once = lambda args: plugin.tool_execution(tool_name="terminal", args=args, next_call=ran.append,
                                                  session_id="s", tool_call_id="c1")
        plugin.tool_execution(tool_name="terminal", args={"command": "ls"}, next_call=once, session_id="s",
                              tool_call_id="c1")
        self.assertEqual(ran, [{"command": "ls -l"}])

    def test_calls_to_servers_are_marked_and_the_models_own_mark_is_not_passed_on(self):
        known = self.daemon(allowing)
        args = {"path": "a", "_herma": {"hook": {"session": "other"}}}
        marked = plugin.tool_request(tool_name="mcp__fs__read", args=args, session_id="s", tool_call_id="c1")["args"]
        self.assertEqual(marked["_herma"]["hook"]["session"], "s")
        self.assertEqual(len(marked["_herma"]["hook"]["proof"]), 64)
        self.assertIsNone(ask("mcp__fs__read", marked))
        self.assertEqual(json.loads(known.said("ask")[0][1]), {"path": "a"})
        self.assertIsNone(plugin.tool_request(tool_name="terminal", args=args, session_id="s", tool_call_id="c1"))

    def test_calls_of_a_script_have_its_session(self):
        known = self.daemon(allowing)
        self.assertIsNone(ask("execute_code", {"code": "print(1)"}))

        def nested(args):
            thread = threading.Thread(target=plugin.contextvars.copy_context().run, args=(inner,))
            thread.start()
            thread.join()

        def inner():
            self.assertIsNone(plugin.pre_tool_call(tool_name="terminal", args={"command": "x"}, session_id="",
                                                   task_id="t", tool_call_id=""))
        plugin.tool_execution(tool_name="execute_code", args={"code": "print(1)"}, next_call=nested, session_id="s",
                              tool_call_id="c1")
        self.assertEqual([message["session"] for message, _ in known.said("ask")], ["s", "s"])
        self.assertEqual(len(known.said("script")), 1)

    def test_an_answer_that_could_not_be_checked_is_not_sent(self):
        said = plugin.transform_llm_output(response_text="hello", session_id="s", platform="telegram")
        self.assertNotIn("hello", said)
        plugin._known("s").grave = True
        self.assertEqual(plugin.transform_llm_output(response_text="hello", session_id="s"), "[SILENT]")

    def test_an_answer_is_sent_replaced_or_withheld(self):
        for answer, payload, expected in (
            ({"do": "allow", "edited": False}, b"", None),
            ({"do": "allow", "edited": True}, b"better", "better"),
            ({"do": "silence", "message": "denied"}, b"", "[SILENT]"),
            ({"do": "silence", "message": "denied"}, b"fixed words", "fixed words"),
            ({"do": "perhaps"}, b"", "[SILENT]"),
        ):
            with self.subTest(answer):
                self.daemon(lambda read, write: (read(), write(frame(answer, payload))))
                self.assertEqual(plugin.transform_llm_output(response_text="hello", session_id="s"), expected)

    def test_nobody_watches_an_answer_grow_in_a_crisis_or_when_nobody_can_say(self):
        class AIAgent:
            session_id, streamed = "s", []

            def __init__(self):
                self.stream_delta_callback = self.streamed.append
                self.interim_assistant_callback = self.clarify_callback = print

        sys.modules["run_agent"] = types.SimpleNamespace(AIAgent=AIAgent)
        self.addCleanup(sys.modules.pop, "run_agent")
        for crisis, muted in ((False, False), (True, True), (None, True)):
            with self.subTest(crisis):
                if crisis is not None:
                    noted = frame({"do": "noted", "crisis": crisis})
                    self.daemon(lambda read, write: (read(), write(noted)))
                else:
                    os.environ["HERMA_DATA_DIR"] = "/nonexistent"
                agent, other = AIAgent(), AIAgent()
                other.session_id = "other"
                plugin.pre_api_request(session_id="s", request={})
                self.assertEqual(agent.stream_delta_callback is None, muted)
                self.assertEqual(agent.interim_assistant_callback is None, muted)
                self.assertTrue(agent.clarify_callback and other.stream_delta_callback)
        self.daemon(lambda read, write: (read(), write(frame({"do": "allow"}))))
        said = plugin.transform_llm_output(response_text="hi", session_id="s", platform="api_server")
        self.assertIsNone(said)
        self.assertEqual(AIAgent.streamed, ["hi"], "once a person has seen it, it is shown")

    def test_a_job_that_nobody_knows_the_readers_of_says_nothing(self):
        self.daemon(allowing)
        sys.modules["cron.jobs"] = None
        self.addCleanup(sys.modules.pop, "cron.jobs")
        with self.assertRaises(ImportError):
            plugin.pre_llm_call(session_id="cron_j_1_2", platform="cron", user_message="x")
        said = plugin.transform_llm_output(response_text="hi", session_id="cron_j_1_2", platform="cron")
        self.assertEqual(said, "[SILENT]")

    def test_the_event_loop_is_never_kept_waiting(self):
        source = types.SimpleNamespace(platform="telegram", chat_id="9", user_id="7")
        begun = time.monotonic()
        for _ in range(2000):
            plugin.pre_gateway_dispatch(event=types.SimpleNamespace(source=source, text="hi"))
        self.assertLess(time.monotonic() - begun, 2)
        self.assertEqual(plugin._known(("telegram", "7")).chats, ["9"])

    def test_a_child_speaks_for_its_parent(self):
        known = self.daemon(allowing)
        plugin.subagent_start(parent_session_id="s", child_session_id="kid")
        plugin.pre_tool_call(tool_name="terminal", args={}, session_id="kid", tool_call_id="k1")
        self.assertEqual(known.said("ask")[0][0]["parent"], "s")


if __name__ == "__main__":
    unittest.main()
