"""Filters of the console's lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, time
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_time

from webhooks_project.admin.access import visible_rows

if TYPE_CHECKING:
    from django.contrib.admin import ChoicesFieldListFilter as ChoicesFilter
    from django.contrib.admin import FieldListFilter as _RangeFilter
    from django.contrib.admin import RelatedFieldListFilter as _RelatedFilter
    from django.contrib.admin import SimpleListFilter as _DropdownFilter
else:
    from unfold.contrib.filters.admin import AutocompleteSelectFilter as _RelatedFilter
    from unfold.contrib.filters.admin import DropdownFilter as _DropdownFilter
    from unfold.contrib.filters.admin import MultipleChoicesDropdownFilter as ChoicesFilter
    from unfold.contrib.filters.admin import RangeDateTimeFilter as _RangeFilter

__all__ = [
    "ChoicesFilter",
    "PeriodFilter",
    "RelatedFilter",
    "TextChoiceFilter",
    "ValuesFilter",
    "YesNoFilter",
]


class RelatedFilter(_RelatedFilter):
    """A row that this one belongs to: one that the user may look at."""

    request: HttpRequest

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in cast("Iterator[Any]", super().choices(changelist)):
            field = choice["form"].fields[self.lookup_kwarg]
            field.queryset = visible_rows(self.request, field.queryset)
            yield choice


class ValuesFilter(ChoicesFilter):
    """The choices by their values: the hub's own words, not a prettier form of them."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in cast("Iterator[Any]", super().choices(changelist)):
            field = choice["form"].fields[self.lookup_kwarg]
            field.choices = [(value, value) for value, _ in self.field.flatchoices]
            yield choice


class PeriodFilter(_RangeFilter):
    """From one moment to another, in UTC. A date without a time is the whole day."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        since = self._moment("from", time.min)
        until = self._moment("to", time.max)
        if since is not None:
            queryset = queryset.filter(**{f"{self.field_path}__gte": since})
        if until is not None:
            queryset = queryset.filter(**{f"{self.field_path}__lte": until})
        return queryset

    def _moment(self, end: str, default: time) -> datetime | None:
        given = self.used_parameters
        try:
            date = parse_date(str(given.get(f"{self.field_path}_{end}_0") or ""))
            hour = parse_time(str(given.get(f"{self.field_path}_{end}_1") or ""))
        except ValueError:
            return None
        return timezone.make_aware(datetime.combine(date, hour or default)) if date else None


class TextChoiceFilter(_DropdownFilter):
    """One of the texts that a column without choices of its own may have."""

    options: ClassVar[Iterable[str]] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(option, option) for option in self.options]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(**{str(self.parameter_name): value}) if value else queryset


class YesNoFilter(_DropdownFilter):
    """Whether a column that keeps a moment has one; `words` are what that means."""

    column: ClassVar[str] = ""
    words: ClassVar[tuple[str, str]] = ("yes", "no")

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(word, word) for word in self.words]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in self.words:
            return queryset
        return queryset.filter(**{f"{self.column}__isnull": self.value() != self.words[0]})
