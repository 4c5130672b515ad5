"""Asks a name of a name server that never answers, in namespaces of this process's own.

Run as `unshare -rmn python -m tests.lib.silent_resolver SECONDS`: prints what came of it as JSON.
There the machine's `/etc/resolv.conf` names a socket on the loopback interface that only listens.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

MS_BIND: Final = 4096
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 1


def main(seconds: float) -> None:
    _raise_loopback()
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.0.0.1", 53))
    listening.settimeout(0)
    # Whatever else the machine has its resolver ask, it would ask outside.
    _show_instead("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:30\n")
    _show_instead("/etc/nsswitch.conf", "hosts: dns\n")

    from webhooks_project.lib.outbound import Outbound, Request
    from webhooks_project.lib.ssrf import Policy

    outbound = Outbound(policy=Policy(), max_in_flight=1, user_agent="hub-test/1")
    outbound.start(Request("http://slow.example/hook", [], b"{}", seconds), "token")
    started_at = time.monotonic()
    done = []
    while not done and time.monotonic() - started_at < seconds + 10:
        done = outbound.wait(0.1)
    took = time.monotonic() - started_at
    ((_, response),) = done
    print(
        json.dumps(
            {
                "failure": response.failure,
                "seconds": round(took, 2),
                "asked": b"slow" in listening.recv(512),
                "dns_ms": response.dns_ms,
                "address": response.address,
            }
        ),
        flush=True,
    )
    os._exit(0)  # the thread that still asks would be waited for


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def _show_instead(path: str, text: str) -> None:
    """Let this process see other content at the path."""
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(text)
    libc = ctypes.CDLL(None, use_errno=True)
    source, target = file.name.encode(), os.fsencode(Path(path).resolve())
    if libc.mount(source, target, None, MS_BIND, None):
        raise OSError(ctypes.get_errno(), f"cannot mount over {path}")
    Path(file.name).unlink()


if __name__ == "__main__":
    main(float(sys.argv[1]))
