"""Forms whose rows are made and changed by services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from django import forms
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError

from webhooks_project.admin.values import json_text
from webhooks_project.lib.errors import DomainError

if TYPE_CHECKING:
    from django.forms import CheckboxInput as Checkbox
    from django.forms import CheckboxSelectMultiple as Checkboxes
    from django.forms import ClearableFileInput as FileInput
    from django.forms import NumberInput, Select, Textarea, TextInput

    _ModelForm = forms.ModelForm[Any]
else:
    from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget as Checkboxes
    from unfold.widgets import UnfoldAdminFileFieldWidget as FileInput
    from unfold.widgets import UnfoldAdminIntegerFieldWidget as NumberInput
    from unfold.widgets import UnfoldAdminSelectWidget as Select
    from unfold.widgets import UnfoldAdminTextareaWidget as Textarea
    from unfold.widgets import UnfoldAdminTextInputWidget as TextInput
    from unfold.widgets import UnfoldBooleanWidget as Checkbox

    _ModelForm = forms.ModelForm

__all__ = [
    "Checkbox",
    "Checkboxes",
    "ChosenRow",
    "FileInput",
    "HeadersField",
    "JsonField",
    "LinesField",
    "NumberInput",
    "SecretArea",
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


class HeadersField(forms.Field):
    """HTTP headers as a mapping, one `Name: value` a line. A name that comes twice is joined."""

    widget = Textarea

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return "\n".join(f"{name}: {text}" for name, text in value.items())
        return value

    def to_python(self, value: Any) -> dict[str, str]:
        headers: dict[str, str] = {}
        for line in (value or "").splitlines():
            if not line.strip():
                continue
            name, separator, text = line.partition(":")
            if not separator or not name.strip():
                raise ValidationError(f"{line[:80]!r} is no header; such are Name: value")
            name, text = name.strip(), text.strip()
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        return headers

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return (initial or {}) != self.to_python(data)
        except ValidationError:
            return True


class JsonField(forms.JSONField):
    """A JSON value, indented. Judged as the rest of the hub does: no NaN, no endless nesting.

    What is left empty is `empty`.
    """

    widget = Textarea

    def __init__(self, *, empty: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.empty_values = [None, ""]  # an empty object is a value
        self.empty = empty

    def prepare_value(self, value: Any) -> Any:
        if value is None or value == self.empty:
            return ""
        return value if isinstance(value, str) else json_text(value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values:
            return self.empty
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise ValidationError(f"no JSON: {error}") from error


class ChosenRow(AutocompleteSelect):
    """A row that is searched for. What was sent and is no key of any row chooses none.

    Django asks the database for it when it shows the form again, which fails.
    """

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        return super().optgroups(name, [key for key in value if self._is_key(key)], attr)

    def _is_key(self, text: Any) -> bool:
        try:
            self.field.remote_field.model._meta.pk.to_python(text)
        except ValidationError:
            return False
        return True


class SecretArea(Textarea):
    """Where a secret is entered, which may have several lines: not readable, never sent back."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        quiet = {"rows": 1, "autocomplete": "off", "spellcheck": "false", "class": "hub-secret"}
        super().__init__(attrs=quiet | (attrs or {}))

    def format_value(self, value: Any) -> str:
        return ""
