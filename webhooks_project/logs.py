"""One JSON object a line, whoever logs it: on standard error, or in LOG_FILE."""

from __future__ import annotations

import logging.config
from typing import Any

import orjson
import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()


def configure(config: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG hook. `config` holds the level and the file."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
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
                        structlog.processors.format_exc_info,
                        structlog.processors.EventRenamer("message"),
                        structlog.processors.JSONRenderer(serializer=_dumps),
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
