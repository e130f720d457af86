"""The real hermes-tenuo plugin, as Hermes loads it: prints what its hook says of each call.

Takes calls as JSON `[tool, arguments]`, one to an argument. The warrant, the signing key and the trusted root are in
the environment, where Hermes has them."""

import json
import sys

import hermes_tenuo


class Hermes:
    hooks = {}

    def register_hook(self, name, hook):
        self.hooks[name] = hook


hermes = Hermes()
hermes_tenuo.register(hermes)
for number, call in enumerate(sys.argv[1:]):
    tool, arguments = json.loads(call)
    said = hermes.hooks["pre_tool_call"](
        tool_name=tool, args=arguments, session_id="s", tool_call_id=str(number)
    )
    print("allow" if said is None else f"block: {said['message']}")
