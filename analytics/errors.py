from __future__ import annotations


class Unanswerable(Exception):
    """The question has no answer as it is put. `code` is for machines."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
