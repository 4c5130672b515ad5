"""Filters of the API's lists."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django_filters import rest_framework as filters
from django_filters.fields import IsoDateTimeField


class _BooleanField(forms.NullBooleanField):
    def to_python(self, value: Any) -> bool | None:  # type: ignore[override]  # as its base does
        if value in self.empty_values:
            return None
        found = super().to_python(str(value).lower())
        if found is None:
            raise ValidationError("It must be true or false.", code="invalid")
        return found


class _MomentField(IsoDateTimeField):
    def to_python(self, value: Any) -> datetime | None:
        found: datetime | None = super().to_python(value)
        if found is None:
            return None
        try:
            return found.astimezone(UTC)
        except OverflowError as error:
            raise ValidationError("There is no such moment.", code="invalid") from error


class MomentFilter(filters.IsoDateTimeFilter):
    """ISO 8601. A moment of the year 0 or 10,000, which its offset may make of it, is refused."""

    field_class = _MomentField


class BooleanFilter(filters.BooleanFilter):
    """True or false; anything else is refused. The library's own would show every row for it."""

    field_class = _BooleanField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"widget": forms.TextInput, **kwargs})


class PresenceFilter(BooleanFilter):
    """Whether the column has a value."""

    def filter(self, qs: models.QuerySet[Any], value: bool | None) -> models.QuerySet[Any]:
        # Not the library's `exclude`: SQLite finds no partial index for NOT (… IS NULL).
        return qs if value is None else qs.filter(**{f"{self.field_name}__isnull": not value})


class FilterSet(filters.FilterSet):
    """A row is named by its id, and an id that is nobody's finds nothing.

    The library's own filter would answer 400 for it: that tells a caller which ids of other
    accounts exist.
    """

    FILTER_DEFAULTS: ClassVar[dict[type[models.Field[Any, Any]], dict[str, Any]]] = {
        **filters.FilterSet.FILTER_DEFAULTS,
        models.BooleanField: {"filter_class": BooleanFilter},
        models.ForeignKey: {"filter_class": filters.UUIDFilter},
        models.OneToOneField: {"filter_class": filters.UUIDFilter},
    }


class FilterBackend(filters.DjangoFilterBackend):
    filterset_base = FilterSet
