"""The cache of a hub without Redis: files, which all processes of a host share."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.filebased import FileBasedCache

log = structlog.get_logger(__name__)

Result = TypeVar("Result")


class HostCache(FileBasedCache):
    """Django's, save that where the files cannot be used nothing is kept, and nothing fails.

    A file that cannot be read, because it was cut off or holds what this version does not know, is
    removed: or each who asks would meet it until it expires.
    """

    def _createdir(self) -> None:
        try:
            super()._createdir()  # type: ignore[misc]  # not in the stubs
        except OSError as error:
            _say(error)

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._read(lambda: super(HostCache, self).get(key, default, version), key, version,
                          default)  # fmt: skip

    def has_key(self, key: Any, version: int | None = None) -> bool:
        return bool(
            self._read(lambda: super(HostCache, self).has_key(key, version), key, version, False)
        )

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(
            self._read(
                lambda: super(HostCache, self).touch(key, timeout, version), key, version, False
            )
        )

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        try:
            super().set(key, value, timeout, version)
        except OSError as error:
            _say(error)

    def delete(self, key: Any, version: int | None = None) -> bool:
        try:
            return bool(super().delete(key, version))
        except OSError as error:
            _say(error)
            return False

    def clear(self) -> None:
        try:
            super().clear()
        except OSError as error:
            _say(error)

    def _cull(self) -> None:
        try:
            super()._cull()  # type: ignore[misc]  # not in the stubs
        except OSError as error:
            _say(error)

    def _read(
        self, read: Callable[[], Result], key: Any, version: int | None, default: Result
    ) -> Result:
        try:
            return read()
        except OSError:
            return default
        except Exception as error:  # unpickling raises whatever what is stored makes it raise
            _say(error)
            with suppress(OSError):
                os.unlink(self._key_to_file(key, version))  # type: ignore[attr-defined]
            return default


def _say(error: Exception) -> None:
    log.warning("nothing is kept in the cache", error=str(error)[:200])
