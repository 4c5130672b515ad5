"""What is wrong with a setting, and where."""

from __future__ import annotations


class Fault(ValueError):
    """One thing that is wrong. `path` is a JSON Pointer, `code` the machine-readable cause.

    The message is safe to show: it never repeats a secret.
    """

    def __init__(self, code: str, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path

    def below(self, path: str) -> Fault:
        """The same fault, of a setting that stands within another."""
        return Fault(self.code, self.message, path=path + self.path)

    def as_json(self) -> dict[str, str]:
        return {"path": self.path, "code": self.code, "message": self.message}
