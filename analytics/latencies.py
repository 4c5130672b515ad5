"""The sketches of groups of rows, put together by the database, or known from an earlier look."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from django.db.models import Aggregate, BinaryField, DecimalField

from analytics.figures import Figures
from analytics.sketches import MERGED, add_merged


class Joined(Aggregate):
    """Stored sketches behind each other, which is the sketch of all."""

    function = "string_agg"
    template = "%(function)s(%(expressions)s, ''::bytea)"
    output_field = BinaryField()


class Version(Aggregate):
    """What tells rows from those of another look, and is read without their sketches.

    A row's attempts only become more, and its id is of its key: what one of those sums has counted
    is always the same.
    """

    template = "SUM(hash_record_extended(ROW(%(expressions)s), 0))"
    output_field = DecimalField()

    def __init__(self) -> None:
        super().__init__("id", "attempts", "total_us_sum", "total_us_max")


def add_known(figures: Figures, names: Sequence[str], version: Decimal | None) -> bool:
    """Count the sketches of rows into the figures where all of them are known; else none."""
    known = [MERGED.known((name, version)) for name in names]
    found = [sketch for sketch in known if sketch is not None]
    if len(found) < len(names):
        return False
    _add(figures, names, found)
    return True


def add_joined(
    figures: Figures, names: Sequence[str], joined: Sequence[bytes | None], version: Decimal | None
) -> None:
    """Count sketches that were put together into the figures, and know them from now on."""
    pairs = zip(names, joined, strict=True)
    _add(figures, names, [MERGED.keep((name, version), many or b"") for name, many in pairs])


def _add(figures: Figures, names: Sequence[str], sketches: Sequence[bytes]) -> None:
    for name, sketch in zip(names, sketches, strict=True):
        add_merged(figures.sketches.setdefault(name, {}), sketch)
