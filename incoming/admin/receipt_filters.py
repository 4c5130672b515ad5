"""What the lists of receipts and of dead receipts are narrowed by."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest

from incoming.models import Receipt
from webhooks_project.admin.dead_letters import FilterForm
from webhooks_project.admin.filters import TextChoiceFilter, YesNoFilter
from webhooks_project.admin.forms import TextInput

Status = Receipt.Status


class FollowedFilter(TextChoiceFilter):
    """The receipts that were processed and that nothing followed."""

    title = "what followed"
    parameter_name = "followed"
    options = ("unmatched",)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in self.options:
            return queryset
        return queryset.filter(status=Status.PROCESSED, action_count=0)


class QuarantineFilter(YesNoFilter):
    title = "quarantine"
    parameter_name = "quarantine"
    column = "quarantined_at"
    words = ("quarantined", "not quarantined")


class SameBodyFilter(YesNoFilter):
    title = "body"
    parameter_name = "same_body"
    column = "same_body_as"
    words = ("as an earlier one", "not seen before")


class DeadReceiptFilterForm(FilterForm):
    source = forms.UUIDField(required=False, widget=TextInput, help_text="Its id.")
    handler = forms.CharField(
        required=False, max_length=255, widget=TextInput,
        help_text="The one that could not do its work.",
    )  # fmt: skip
    type = forms.CharField(required=False, max_length=255, widget=TextInput)
