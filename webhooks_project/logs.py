"""One JSON object a line, whoever logs it: on standard error, or in LOG_FILE."""

from __future__ import annotations

import logging
import logging.config
import logging.handlers
from typing import Any

import orjson
import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class _Lines:
    """A logger whose events are lines already: it writes them where the standard library's go.

    Through the standard library a line costs 200 µs, as much as all the rest of taking a webhook.
    """

    def __init__(self, name: str = "") -> None:
        logger = logging.getLogger(name)
        self.name = name
        self.disabled = False
        self.getEffectiveLevel = logger.getEffectiveLevel

    def msg(self, line: str) -> None:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.acquire()
                try:
                    if isinstance(handler, logging.handlers.WatchedFileHandler):
                        handler.reopenIfNeeded()
                    handler.stream.write(line + "\n")
                    handler.flush()
                except Exception:  # as the standard library has it: a full disk fails no request
                    handler.handleError(_NO_RECORD)
                finally:
                    handler.release()

    debug = info = warning = warn = error = critical = exception = msg


_NO_RECORD = logging.LogRecord("", logging.ERROR, "", 0, "a line was not written", (), None)


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()


_RENDER: list[Any] = [
    structlog.processors.format_exc_info,
    structlog.processors.EventRenamer("message"),
    structlog.processors.JSONRenderer(serializer=_dumps),
]
# One list for good: loggers that were used before keep it, and tests put their own things in it.
_PROCESSORS: list[Any] = [structlog.stdlib.filter_by_level, *_SHARED, *_RENDER]


def configure(config: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG hook. `config` holds the level and the file."""
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=_Lines,
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = (
        {"class": "logging.handlers.WatchedFileHandler", "filename": config["file"]}
        if config["file"]
        else {"class": "logging.StreamHandler"}
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": [*_SHARED, structlog.stdlib.ExtraAdder()],
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        *_RENDER,
                    ],
                }
            },
            "handlers": {"lines": handler | {"formatter": "json"}},
            "root": {"handlers": ["lines"], "level": config["level"]},
            "loggers": {
                # A line for each hint and each task says nothing that the hub's own lines do not.
                "django-q": {"level": "WARNING", "handlers": ["lines"], "propagate": False},
                # A refused webhook is the hub's to report, with its cause.
                "django.request": {"level": "ERROR"},
            },
        }
    )
