"""The cache of a hub without Redis: files, which all processes of a host share."""

from __future__ import annotations

from typing import Any

import structlog
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.filebased import FileBasedCache

log = structlog.get_logger(__name__)


class HostCache(FileBasedCache):
    """Django's, save that where the files cannot be used nothing is kept, and nothing fails."""

    def _createdir(self) -> None:
        try:
            super()._createdir()  # type: ignore[misc]  # not in the stubs
        except OSError as error:
            _say(error)

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        try:
            return super().get(key, default, version)
        except OSError:
            return default

    def has_key(self, key: Any, version: int | None = None) -> bool:
        try:
            return bool(super().has_key(key, version))
        except OSError:
            return False

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        try:
            super().set(key, value, timeout, version)
        except OSError as error:
            _say(error)


def _say(error: OSError) -> None:
    log.warning("nothing is kept in the cache", error=str(error)[:200])
