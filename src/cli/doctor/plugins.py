"""Asks Hermes which plugin it has loaded as `herma`, and whether that one is asked first."""

import json
import pathlib
import sys

from hermes_cli.plugins import discover_plugins, get_plugin_manager

discover_plugins()
manager = get_plugin_manager()
plugin = manager._plugins.get("herma")
module = getattr(plugin, "module", None)
asked = manager._hooks.get("pre_tool_call") or [None]
found = pathlib.Path(getattr(module, "__file__", None) or "/none").resolve().parent
print()
print(json.dumps({
    "loaded": bool(plugin and plugin.enabled and module),
    "error": getattr(plugin, "error", None),
    "ours": found == pathlib.Path(sys.argv[1]).resolve(),
    "first": bool(module) and asked[0] is getattr(module, "pre_tool_call", False),
}))
