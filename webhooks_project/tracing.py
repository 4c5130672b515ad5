"""OpenTelemetry traces: from the request that told us something to each attempt to deliver it.

On where the extra `otel` is installed and the standard OTEL_* variables name an exporter. Spans are
made afterwards, from times that are kept anyway, and their ids follow from those of the rows: so
nothing is carried along, and what is done by other processes later finds the span it belongs to.
No span has a payload, a header, an address or a secret.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from multiprocessing import util
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import structlog
from django.conf import settings

from webhooks_project import __version__
from webhooks_project.lib.trace_context import accept_trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.trace.sampling import Decision
    from opentelemetry.trace import Tracer

log = structlog.get_logger(__name__)

Kind = Literal["server", "client", "producer", "consumer", "internal"]
FLUSH_MILLISECONDS: Final = 3_000  # what the end of a process waits for its last spans at most
_RECORD_AND_SAMPLE: Final = 2  # of the SDK's Decision
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def is_asked_for(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the standard variables name somebody to send traces to."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter:
        return exporter != "none"
    return any(environment.get(name, "").strip() for name in _ENDPOINTS)


def is_installed() -> bool:
    """Whether the extra `otel` is there."""
    return all(
        find_spec(name) is not None
        for name in ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a span stands: its trace, and the span before it; `parent` is 0 where it is first."""

    trace: int
    parent: int
    is_sampled: bool

    def traceparent_for(self, span: int) -> str:
        """The header that names that span of this trace."""
        return f"00-{self.trace:032x}-{span:016x}-{int(self.is_sampled):02x}"


class Tracing:
    """The spans of this process."""

    def __init__(self, exporter: SpanExporter | None = None, *, at_once: bool = False) -> None:
        self._exporter = exporter
        self._at_once = at_once
        self._lock = threading.Lock()
        self._pid = 0
        self._provider: TracerProvider | None = None
        self._own: Tracer | None = None
        self._ids: Any = None

    def place_of(self, traceparent: str, key: UUID) -> Place:
        """The place that a traceparent tells; without a valid one, a trace of the key's own."""
        valid, _ = accept_trace(traceparent) if traceparent else ("", "")
        if valid:
            return Place(int(valid[3:35], 16), int(valid[36:52], 16), int(valid[53:], 16) & 1 == 1)
        trace = int.from_bytes(_digest("trace", key)[:16])
        sampler = self._ready().sampler
        decision: Decision = sampler.should_sample(None, trace, "trace").decision
        return Place(trace, 0, decision.value >= _RECORD_AND_SAMPLE)

    def record(
        self,
        name: str,
        *,
        kind: Kind,
        place: Place,
        span: int,
        started_at: datetime,
        seconds: float,
        facts: Mapping[str, str | int | float | bool | None],
        error: str = "",
    ) -> None:
        """One span that has ended. Facts that are None or empty are left out."""
        from opentelemetry import trace as api
        from opentelemetry.context import Context

        self._ready()
        assert self._own is not None  # noqa: S101 - made with the provider
        context = None
        if place.parent:
            flags = api.TraceFlags(api.TraceFlags.SAMPLED if place.is_sampled else 0)
            before = api.SpanContext(place.trace, place.parent, is_remote=True, trace_flags=flags)
            context = api.set_span_in_context(api.NonRecordingSpan(before))
        start = int(started_at.timestamp() * 1_000_000) * 1_000
        self._ids.next = (place.trace, span)
        made = self._own.start_span(
            name,
            context=context or Context(),
            kind=getattr(api.SpanKind, kind.upper()),
            attributes={key: value for key, value in facts.items() if value not in (None, "")},
            start_time=start,
        )
        if error:
            made.set_status(api.StatusCode.ERROR, error)
        made.end(end_time=start + int(seconds * 1_000_000_000))

    def flush(self) -> None:
        """Send what is ready, in this process, unless traces were configured away."""
        if self is _tracing and self._provider is not None and self._pid == os.getpid():
            self._provider.force_flush(FLUSH_MILLISECONDS)

    def _ready(self) -> TracerProvider:
        # A process made by a fork has none of its parent's threads: it makes its own.
        if self._provider is None or self._pid != os.getpid():
            with self._lock:
                if self._provider is None or self._pid != os.getpid():
                    self._start()
        assert self._provider is not None  # noqa: S101 - made above
        return self._provider

    def _start(self) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        exporter = self._exporter or _otlp_exporter()
        own = {"service.version": __version__, "service.instance.id": settings.HUB_NODE}
        if "OTEL_SERVICE_NAME" not in os.environ:
            own["service.name"] = "webhooks-hub"
        self._ids = _ids()
        self._provider = TracerProvider(
            resource=Resource.create(own), id_generator=self._ids, shutdown_on_exit=False
        )
        self._own = self._provider.get_tracer("webhooks_hub", __version__)
        make = SimpleSpanProcessor if self._at_once else BatchSpanProcessor
        self._provider.add_span_processor(make(exporter))
        self._pid = os.getpid()
        # Workers end without the interpreter's own end; both ways the last spans are sent.
        util.Finalize(None, self.flush, exitpriority=10)
        atexit.register(self.flush)


def _otlp_exporter() -> SpanExporter:
    # By OTEL_EXPORTER_OTLP_ENDPOINT, …_HEADERS, …_TIMEOUT, …_CERTIFICATE and the like.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _ids() -> Any:
    """What gives a span the ids that it is told, each thread its own."""
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class Told(threading.local, IdGenerator):
        next = (0, 0)

        def generate_trace_id(self) -> int:
            return self.next[0]

        def generate_span_id(self) -> int:
            return self.next[1]

    return Told()


def span_of(stage: str, key: UUID, number: int = 0) -> int:
    """The id of the span of what was done to a row at a stage; of any number, one each."""
    return int.from_bytes(_digest(stage, key, number)[:8])


def _digest(stage: str, key: UUID, number: int = 0) -> bytes:
    # A hash: samplers go by a part of the trace's id, and that of a row tells the time.
    return hashlib.sha256(b"%s:%b:%d" % (stage.encode(), key.bytes, number)).digest()


_tracing: Tracing | None = None


def tracing() -> Tracing | None:
    """What makes the spans of this process; None where traces are off."""
    return _tracing


def configure(made: Tracing | None) -> None:
    """Have spans made by this from now on, or none."""
    global _tracing
    _tracing = made


def configure_by_environment() -> None:
    """Switch traces on where they are asked for and can be made."""
    if not is_asked_for():
        return
    if is_installed():
        configure(Tracing())
    else:
        log.warning("traces are asked for, and the extra otel is not installed")
