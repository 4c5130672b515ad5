"""The base of every app's own errors."""

from __future__ import annotations

from typing import ClassVar


class DomainError(Exception):
    """The request cannot be carried out.

    A subclass's docstring is its default message, `code` its machine-readable cause. `status` is
    what the API answers: 400 for what is wrong in itself, 409 for what does not fit the present
    state. `extra` goes out beside the message.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400

    def __init__(self, message: str = "", **extra: object) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.extra = extra
