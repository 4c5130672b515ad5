"""Why a filter cannot be matched."""

from __future__ import annotations

from typing import ClassVar

from webhooks_project.lib.errors import DomainError


class FilterNotAcceptable(DomainError):
    """The filter is not one that can be matched.

    `path` is a JSON Pointer to the wrong place in the filter document. `reason` is not_an_object,
    not_json, bad_path, path_too_long, unknown_operator, wrong_operand, bad_regex, regex_too_long,
    too_many_clauses, too_deep or too_large.
    """

    code: ClassVar[str] = "filter_not_acceptable"

    def __init__(self, message: str = "", *, reason: str, path: str = "") -> None:
        super().__init__(message, reason=reason, path=path)
        self.reason = reason
        self.path = path
