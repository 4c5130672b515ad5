"""Filters: JSON documents that say which JSON documents match.

The language is described in docs/glossary.md. A filter is compiled once, to closures; a clause
costs about a microsecond.
"""

from webhooks_project.lib.filters.clauses import Clause
from webhooks_project.lib.filters.compiling import (
    CLAUSES,
    FILTER_BYTES,
    LEVELS,
    Filter,
    compile_filter,
)
from webhooks_project.lib.filters.errors import FilterNotAcceptable
from webhooks_project.lib.filters.operators import LIST_ITEMS, REGEX_TEXT_LENGTH
from webhooks_project.lib.filters.paths import values_at

__all__ = [
    "CLAUSES",
    "FILTER_BYTES",
    "LEVELS",
    "LIST_ITEMS",
    "REGEX_TEXT_LENGTH",
    "Clause",
    "Filter",
    "FilterNotAcceptable",
    "compile_filter",
    "values_at",
]
