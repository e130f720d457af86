"""What asking costs: calls `read_file` in Hermes as its agent does, and tells Herma's part from Hermes' own.

`HERMES_HOME=… python cost.py CALLS`, with Hermes' Python, in a home that `herma install hermes` has prepared and
with a daemon that lets `read_file` run. The last line is JSON: both medians of the same calls, in milliseconds."""

import json
import pathlib
import statistics
import sys
import time

from hermes_cli.plugins import discover_plugins, get_plugin_manager
from model_tools import get_tool_definitions, handle_function_call

calls = int(sys.argv[1])
spent = [0.0]


def timed(part, inner=False):
    """What Herma does is counted, and what Hermes does inside of it is not."""
    def wrapped(**said):
        begun, before = time.perf_counter(), spent[0]
        if inner and said.get("next_call"):
            run, took = said["next_call"], [0.0]

            def step(*args, **more):
                begun_inside, counted = time.perf_counter(), spent[0]
                try:
                    return run(*args, **more)
                finally:
                    took[0] = time.perf_counter() - begun_inside - (spent[0] - counted)
            said["next_call"] = step
        else:
            took = [0.0]
        try:
            return part(**said)
        finally:
            spent[0] = before + time.perf_counter() - begun - took[0]
    return wrapped


discover_plugins()
manager = get_plugin_manager()
ours = manager._plugins["herma"].module
for name, parts in {**manager._hooks, **manager._middleware}.items():
    parts[:] = [timed(part, name == "tool_execution") if part.__module__ == ours.__name__ else part for part in parts]
get_tool_definitions(quiet_mode=True)
added, own = [], []
for number in range(calls):
    # Hermes does not read a file again that has not changed.
    pathlib.Path(f"small-{number}.txt").write_text("one\ntwo\n")
    spent[0], begun = 0.0, time.perf_counter()
    result = handle_function_call("read_file", {"path": f"small-{number}.txt"}, task_id="cost",
                                  tool_call_id=f"cost-{number}", session_id="cost")
    whole = time.perf_counter() - begun
    assert "REFUSED" not in result, result
    added.append(spent[0] * 1000)
    own.append(whole * 1000 - added[-1])
print(json.dumps({"calls": calls, "added_ms": round(statistics.median(added), 3),
                  "hermes_ms": round(statistics.median(own), 3)}))
