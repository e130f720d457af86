"""Herma's control socket: two little-endian lengths, a JSON header, a payload."""

import json
import os
import socket
import struct
import time

VERSION = 3
# The daemon gives a sign of life every five seconds while a person is asked.
SILENCE = 20.0


class Unreachable(Exception):
    """No daemon, or none that speaks as it should."""


class Line(socket.socket):
    """One connection. That of a call stays open while the call runs."""

    def __init__(self, settings):
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self.settimeout(SILENCE)
        data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        place = os.environ.get("HERMA_DATA_DIR") or settings.get("data_dir") or f"{data}/herma"
        hooking = {"agent": "hermes", "token": settings.get("token"),
                   "cwd": os.environ.get("TERMINAL_CWD"), "home": os.path.expanduser("~")}
        try:
            self.connect(f"{place}/control.sock")
            self.say({"version": VERSION, "role": {"hook": hooking}})
        except OSError as error:
            self.close()
            raise Unreachable(f"no herma in {place} ({error}): start `herma serve`") from None

    def say(self, header, payload=b""):
        head = json.dumps(header, ensure_ascii=False, allow_nan=False).encode()
        self.sendall(struct.pack("<II", len(head), len(payload)) + head + payload)

    def ask(self, header, payload=b"", patience=0.0, silence=SILENCE):
        """The answer: waited for as long as `patience` lasts and the daemon shows that it lives."""
        end = time.monotonic() + patience + silence
        try:
            self.say(header, payload)
            while True:
                until = min(end, time.monotonic() + silence)
                head, payload = struct.unpack("<II", self._read(8, until))
                message = dict(json.loads(self._read(head, until)))
                body = self._read(payload, until)
                if message.get("do") != "held":
                    return message, body
        except (OSError, TypeError, ValueError) as error:
            self.close()
            raise Unreachable(f"herma did not answer ({error})") from None

    def _read(self, length, until):
        data = b""
        while len(data) < length:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self.settimeout(left)
            part = self.recv(length - len(data))
            if not part:
                raise ConnectionError("it went away")
            data += part
        return data
