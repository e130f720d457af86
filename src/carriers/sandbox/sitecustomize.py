# An isolated script can connect to nothing; the connection to its agent is open already. What is enforced is
# enforced by the kernel: this only lets code that connects by name find it.
import os
import socket

_descriptor = os.environ.pop("HERMA_RPC_DESCRIPTOR", None)
if _descriptor is not None:
    _name = os.environ.get("HERMES_RPC_SOCKET")

    class _Socket(socket.socket):
        def connect(self, address):
            if address != _name:
                return super().connect(address)
            os.dup2(int(_descriptor), self.fileno(), inheritable=False)

    socket.socket = _Socket
