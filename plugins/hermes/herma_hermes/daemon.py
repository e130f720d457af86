"""Herma's control socket: two little-endian lengths, a JSON header, a payload."""

import json
import os
import socket
import struct
import time

VERSION = 3
# The daemon gives a sign of life every five seconds while a person is asked.
SILENCE = 20.0
HEADER_LIMIT = 1 << 22
PAYLOAD_LIMIT = 1 << 26


class Unreachable(Exception):
    """No daemon, or none that speaks as it should."""


def socket_path(configured=None):
    directory = os.environ.get("HERMA_DATA_DIR") or configured
    if not directory:
        data = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
        directory = os.path.join(data, "herma")
    return os.path.join(directory, "control.sock")


class Line:
    """One connection. That of a call stays open while the call runs."""

    def __init__(self, path, token=None):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(SILENCE)
        hooking = {"agent": "hermes", "token": token, "cwd": os.environ.get("TERMINAL_CWD"),
                   "home": os.path.expanduser("~")}
        try:
            self.socket.connect(path)
            self.say({"version": VERSION, "role": {"hook": hooking}})
        except BaseException as error:
            self.close()
            if not isinstance(error, OSError):
                raise
            raise Unreachable(f"no herma answers at {path} ({error}); start it with `herma serve`") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def say(self, header, payload=b""):
        head = json.dumps(header, ensure_ascii=False, allow_nan=False).encode()
        try:
            self.socket.sendall(struct.pack("<II", len(head), len(payload)) + head + payload)
        except OSError as error:
            raise Unreachable(f"herma went away ({error})") from None

    def hear(self, until):
        """The next message, whole before `until`."""
        head, payload = struct.unpack("<II", self._read(8, until))
        try:
            if head > HEADER_LIMIT or payload > PAYLOAD_LIMIT:
                raise ValueError
            message, body = dict(json.loads(self._read(head, until))), self._read(payload, until)
        except (TypeError, ValueError):
            raise Unreachable("herma's answer cannot be read") from None
        return message, body

    def ask(self, header, payload=b"", patience=0.0, silence=SILENCE):
        """The answer; while a person is asked, for as long as signs of life come and `patience` lasts."""
        self.say(header, payload)
        end = time.monotonic() + patience + silence
        while True:
            message, body = self.hear(min(end, time.monotonic() + silence))
            if message.get("do") != "held":
                return message, body
            if time.monotonic() >= end:
                raise Unreachable("herma did not answer in time")

    def _read(self, length, until):
        parts = []
        while length:
            try:
                # Never none at all: that would be not to wait.
                self.socket.settimeout(max(0.001, until - time.monotonic()))
                part = self.socket.recv(min(length, 1 << 16))
                if time.monotonic() > until:
                    raise TimeoutError("timed out")
            except OSError as error:
                raise Unreachable(f"herma did not answer ({error})") from None
            if not part:
                raise Unreachable("herma went away")
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def close(self):
        self.socket.close()
