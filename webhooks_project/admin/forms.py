"""Forms whose rows are made and changed by services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms

from webhooks_project.lib.errors import DomainError

if TYPE_CHECKING:
    from django.forms import CheckboxSelectMultiple as Checkboxes
    from django.forms import NumberInput, Select, Textarea, TextInput

    _ModelForm = forms.ModelForm[Any]
else:
    from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget as Checkboxes
    from unfold.widgets import UnfoldAdminIntegerFieldWidget as NumberInput
    from unfold.widgets import UnfoldAdminSelectWidget as Select
    from unfold.widgets import UnfoldAdminTextareaWidget as Textarea
    from unfold.widgets import UnfoldAdminTextInputWidget as TextInput

    _ModelForm = forms.ModelForm

__all__ = [
    "Checkboxes",
    "LinesField",
    "NumberInput",
    "Select",
    "ServiceForm",
    "TextInput",
    "Textarea",
]


class ServiceForm(_ModelForm):
    """A form that shows a service's refusal at its field.

    The service is the judge of what is acceptable; where it raises, HubAdmin builds the form once
    more with `refused`.
    """

    refused: ClassVar[DomainError | None] = None
    error_fields: ClassVar[Mapping[str, str]] = {}  # the field that an error's code is about

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.refused is not None:
            for name, message in self._messages(self.refused):
                self.add_error(name if name in self.fields else None, message)
        return cleaned

    def changes(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The new values of those of the fields that were changed."""
        return {name: self.cleaned_data[name] for name in names if name in self.changed_data}

    def _messages(self, error: DomainError) -> list[tuple[str, Any]]:
        fields = error.extra.get("fields")
        if isinstance(fields, dict):
            return list(fields.items())
        return [(self.error_fields.get(error.code, ""), str(error))]


class LinesField(forms.Field):
    """A list of texts, one a line."""

    widget = Textarea

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return sorted(initial or []) != sorted(self.to_python(data))
