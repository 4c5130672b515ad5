"""When traces are on, and how they leave a process."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from webhooks_project import tracing
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id

URL = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": URL}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": URL}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": URL}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": URL}, False),
    ],
)
def test_is_on_where_the_standard_variables_say_so(
    environment: dict[str, str], asked: bool
) -> None:
    assert tracing.is_asked_for(environment) is asked


def test_is_off_where_the_extra_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "is_asked_for", lambda: True)
    monkeypatch.setattr(tracing, "is_installed", lambda: False)
    tracing.configure_by_environment()
    assert tracing.tracing() is None


def test_is_on_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "is_asked_for", lambda: True)
    tracing.configure_by_environment()
    try:
        assert tracing.is_installed()
        assert tracing.tracing() is not None
    finally:
        tracing.configure(None)


class Collector(HTTPServer):
    """Takes spans over OTLP, as any collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.names: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.resources: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def wait_for(self, names: set[str]) -> None:
        ends_at = time.monotonic() + 20
        while set(self.names) != names:
            assert time.monotonic() < ends_at, self.names
            threading.Event().wait(0.02)


class _Take(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.resources.append(
                {item.key: item.value.string_value for item in group.resource.attributes}
            )
            for scope in group.scope_spans:
                self.server.names.extend(span.name for span in scope.spans)
        self.server.headers.append({key.lower(): text for key, text in self.headers.items()})
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=hub")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    tracing.configure_by_environment()
    yield server
    tracing.configure(None)
    server.shutdown()
    server.server_close()
    thread.join()


def record(name: str) -> None:
    spans = tracing.tracing()
    assert spans is not None
    key = new_id()
    spans.record(
        name, kind="internal", place=spans.place_of("", key), span=tracing.span_of(name, key),
        started_at=clock.now(), seconds=0.001, facts={"a": 1},
    )  # fmt: skip


def test_spans_reach_a_collector_as_the_standard_variables_say(
    collector: Collector, settings: Any
) -> None:
    for number in range(3):
        record(f"span-{number}")
    collector.wait_for({"span-0", "span-1", "span-2"})
    assert collector.headers[0]["x-tenant"] == "hub"
    assert collector.resources[0]["service.name"] == "webhooks-hub"
    assert collector.resources[0]["service.instance.id"] == settings.HUB_NODE


def _in_child(name: str) -> None:
    record(name)


def test_a_process_made_by_a_fork_sends_its_own(collector: Collector) -> None:
    """As the workers of a cluster are made; they end before a batch is due."""
    record("parent-before")
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=_in_child, args=(f"child-{n}",)) for n in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
        assert child.exitcode == 0
    record("parent-after")
    collector.wait_for({"parent-before", "child-0", "child-1", "parent-after"})
    assert len(collector.names) == 4  # none is sent by both


def test_a_collector_that_is_away_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    tracing.configure_by_environment()
    try:
        started = time.perf_counter()
        for number in range(100):
            record(f"lost-{number}")
        assert time.perf_counter() - started < 5
    finally:
        tracing.configure(None)


def test_where_traces_are_off_asking_costs_next_to_nothing() -> None:
    assert tracing.tracing() is None
    ask = tracing.tracing
    started = time.perf_counter()
    for _ in range(100_000):
        ask()
    assert time.perf_counter() - started < 1.0  # 10 µs each on the slowest machine
