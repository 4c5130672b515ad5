"""Where deliveries go: servers that answer 200 and are not what is measured."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.lib.certificates import make_certificate

READY_SECONDS: Final = 10
STOP_SECONDS: Final = 5
PLACES: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
SOURCE: Final = Path(__file__).with_name("sink.c")
TLS_SOURCE: Final = Path(__file__).with_name("tls_sink.c")
CERTIFICATE: Final = "both.pem"
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
    """`kind` is the program that answers, with its version where it has one.

    `certificate` is what to trust at the `urls` of one with TLS.
    """

    url: str
    kind: str
    urls: tuple[str, ...] = ()
    certificate: Path | None = None


@contextmanager
def running_sink(*, delay_ms: int = 0, tls_ports: int = 0) -> Iterator[Sink]:
    """A sink on a port of its own, ready; stopped afterwards. Raises NoSink.

    One that answers late, and one with TLS on so many ports, are compiled here.
    """
    with tempfile.TemporaryDirectory(prefix="hub-sink-") as name:
        directory = Path(name)
        ports = _free_ports(max(1, tls_ports))
        if tls_ports:
            kind, command = _with_tls(directory, ports)
        elif delay_ms:
            kind, command = _compiled(directory, ports[0], delay_ms)
        else:
            kind, command = _nginx(directory, ports[0]) or _compiled(directory, ports[0], 0)
        process = subprocess.Popen(command, cwd=directory)
        try:
            _wait_until_ready(ports[0], process)
            scheme = "https" if tls_ports else "http"
            urls = tuple(f"{scheme}://127.0.0.1:{port}/" for port in ports)
            yield Sink(urls[0], kind, urls, directory / CERTIFICATE if tls_ports else None)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.wait()


def _free_ports(count: int) -> list[int]:
    """All different: each is held until the last is found."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in found]


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


def _compiled(directory: Path, port: int, delay_ms: int) -> tuple[str, Sequence[str]]:
    program = _compile(directory, SOURCE)
    return SOURCE.name, [str(program), str(port), str(delay_ms)]


def _with_tls(directory: Path, ports: Sequence[int]) -> tuple[str, Sequence[str]]:
    made = make_certificate(directory, ends_at=datetime.now(UTC) + timedelta(days=1))
    both = made.rename(directory / CERTIFICATE)
    try:
        program = _compile(directory, TLS_SOURCE, "-lssl", "-lcrypto", "-lpthread")
    except subprocess.CalledProcessError as error:
        raise NoSink("install OpenSSL's headers: TLS is measured against a sink in C") from error
    return TLS_SOURCE.name, [str(program), str(both), *map(str, ports)]


def _compile(directory: Path, source: Path, *libraries: str) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoSink("install nginx or a C compiler: a sink in Python would be what is measured")
    program = directory / "sink"
    subprocess.run(
        [compiler, "-O2", "-o", str(program), str(source), *libraries],
        check=True,
        capture_output=True,
    )
    return program


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the sink ended with {process.returncode}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the sink was not ready within {READY_SECONDS} s")
