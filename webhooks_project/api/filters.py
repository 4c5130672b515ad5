"""Filters of the API's lists."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django_filters import rest_framework as filters


class FilterSet(filters.FilterSet):
    """A row is named by its id, and an id that is nobody's finds nothing.

    The library's own filter would answer 400 for it: that tells a caller which ids of other
    accounts exist.
    """

    FILTER_DEFAULTS: ClassVar[dict[type[models.Field[Any, Any]], dict[str, Any]]] = {
        **filters.FilterSet.FILTER_DEFAULTS,
        models.ForeignKey: {"filter_class": filters.UUIDFilter},
        models.OneToOneField: {"filter_class": filters.UUIDFilter},
    }


class FilterBackend(filters.DjangoFilterBackend):
    filterset_base = FilterSet
