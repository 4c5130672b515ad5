"""What each change of a source begins with: the row is held, and what is given is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from incoming.errors import SourceNotAcceptable
from incoming.models import Source
from webhooks_project.acceptable import Problem, refuse


def lock_source(source: Source) -> None:
    """Read the source anew, and hold it: for a change only, so that receipts are still stored."""
    source.refresh_from_db(from_queryset=Source.objects.select_for_update(no_key=True))


def check_names(given: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := set(given) - set(known):
        raise TypeError(f"not changeable: {', '.join(sorted(unknown))}")


def check(problems: Sequence[Problem], message: str = "") -> None:
    refuse(problems, SourceNotAcceptable, message)
