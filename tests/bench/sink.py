"""Where deliveries go: a server that answers 200 and is not what is measured."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from webhooks_project.running import free_port

READY_SECONDS: Final = 10
STOP_SECONDS: Final = 5
PLACES: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
SOURCE: Final = Path(__file__).with_name("sink.c")
CONFIGURATION: Final = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ return 200; }}
    }}
}}
"""


class NoSink(Exception):
    """Neither nginx nor a C compiler is here: install one, or the sink would be measured."""


@dataclass(frozen=True)
class Sink:
    """`kind` is the program that answers, with its version where it has one."""

    url: str
    kind: str


@contextmanager
def running_sink() -> Iterator[Sink]:
    """A sink on a port of its own, ready; stopped afterwards. Raises NoSink."""
    with tempfile.TemporaryDirectory(prefix="hub-sink-") as name:
        directory = Path(name)
        port = free_port()
        kind, command = _nginx(directory, port) or _compiled(directory, port)
        process = subprocess.Popen(command, cwd=directory)
        try:
            _wait_until_ready(port, process)
            yield Sink(f"http://127.0.0.1:{port}/", kind)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.wait()


def _nginx(directory: Path, port: int) -> tuple[str, Sequence[str]] | None:
    program = shutil.which("nginx", path=PLACES)
    if program is None:
        return None
    file = directory / "nginx.conf"
    file.write_text(CONFIGURATION.format(port=port))
    version = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
    return (
        version.strip().rpartition(" ")[2],
        [program, "-p", str(directory), "-e", "stderr", "-c", str(file)],
    )


def _compiled(directory: Path, port: int) -> tuple[str, Sequence[str]]:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoSink("install nginx or a C compiler: a sink in Python would be what is measured")
    program = directory / "sink"
    subprocess.run([compiler, "-O2", "-o", str(program), str(SOURCE)], check=True)
    return "sink.c", [str(program), str(port)]


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the sink ended with {process.returncode}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the sink was not ready within {READY_SECONDS} s")
