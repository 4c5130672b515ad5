"""The form of a source, with a field for each option of its provider."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final

from django import forms

from incoming import services
from incoming.acceptable import METHODS
from incoming.models import SchemaMode, Source, provider_choices
from incoming.providers import Provider
from webhooks_project.admin.forms import (
    Checkbox,
    Checkboxes,
    HeadersField,
    JsonField,
    LinesField,
    NumberInput,
    SecretArea,
    Select,
    ServiceForm,
    Textarea,
    TextInput,
)
from webhooks_project.admin.values import marked
from webhooks_project.lib.errors import DomainError

SCHEMA_MODES: Final = (
    (SchemaMode.OFF, "off: the schema is not looked at"),
    (SchemaMode.WARN, "warn: it is taken, with what does not fit"),
    (SchemaMode.REJECT, "reject: it is refused"),
    (SchemaMode.QUARANTINE, "quarantine: it is kept until a person releases or drops it"),
)
OURS: Final = (
    "The provider's, where the provider makes it. Left empty, we make one and show it once."
)
LEARNED: Final = "Leave it empty: the provider tells it when it first calls."

GRACE_HOURS: Final = services.ROTATION_GRACE // timedelta(hours=1)
MAX_GRACE_HOURS: Final = 30 * 24

# Fields in groups; those in one tuple stand side by side.
GROUPS: Final[tuple[tuple[str, tuple[Any, ...]], ...]] = (
    (
        "Who may call",
        (
            "allowed_networks",
            ("rate_per_minute", "rate_per_minute_per_address"),
            "max_body_bytes",
            "methods",
            "content_types",
        ),
    ),
    ("Proof", ("public_url", "tolerance_seconds")),
    (
        "Payload",
        ("schema", "schema_mode", "dedup_fields", "dedup_window_seconds", "transformation"),
    ),
    ("Answer", ("answer_status", "answer_headers", "answer_body")),
)


class SourceForm(ServiceForm):
    secret = forms.CharField(max_length=4096, required=False, widget=SecretArea, help_text=OURS)
    provider = forms.ChoiceField(choices=provider_choices, widget=forms.HiddenInput)
    allowed_networks = LinesField(
        required=False,
        widget=Textarea(attrs={"rows": 2}),
        help_text="One a line in CIDR form, IPv4 or IPv6; empty for all.",
    )
    methods = forms.MultipleChoiceField(
        required=False,
        choices=[(method, method) for method in METHODS],
        widget=Checkboxes,
        help_text="None chosen for the provider's own.",
    )
    content_types = LinesField(
        required=False,
        widget=Textarea(attrs={"rows": 2}),
        help_text="Media types, one a line, such as application/json; empty for all that can be "
        "read.",
    )
    schema = JsonField(
        required=False,
        widget=Textarea(attrs={"rows": 4, "class": "hub-input"}),
        help_text="JSON Schema that payloads should fit; empty for none.",
    )
    schema_mode = forms.ChoiceField(choices=SCHEMA_MODES, widget=Select, label="What does not fit")
    dedup_fields = LinesField(
        required=False,
        label="Repeats are known by",
        widget=Textarea(attrs={"rows": 2}),
        help_text="Places whose values make two calls the same, one a line, such as json:order.id "
        "or header:x-id; empty for the provider's own id.",
    )
    answer_headers = HeadersField(
        required=False,
        label="Headers",
        widget=Textarea(attrs={"rows": 2}),
        help_text="One a line, as Name: value.",
    )

    of_provider: ClassVar[Provider | None] = None

    class Meta:
        model = Source
        fields = (
            "account", "name", "provider",
            *(name for name in services.CHANGEABLE if name not in ("name", "options")),
        )  # fmt: skip
        labels: ClassVar = {
            "public_url": "Public URL",
            "tolerance_seconds": "Tolerance, in seconds",
            "max_body_bytes": "Largest body, in bytes",
            "rate_per_minute": "Calls a minute",
            "rate_per_minute_per_address": "From one address",
            "dedup_window_seconds": "For how long, in seconds",
            "answer_status": "Status",
            "answer_headers": "Headers",
            "answer_body": "Body",
        }
        widgets: ClassVar = {
            "answer_body": Textarea(attrs={"rows": 2}),
            "transformation": Textarea(attrs={"rows": 4, "class": "hub-input"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.option_names:
            if not is_secret(self.of_provider, name):
                self.initial[field_of(name)] = self.instance.options.get(name, "")

    @property
    def option_names(self) -> list[str]:
        return list(self.of_provider.options) if self.of_provider else []

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if cleaned is not None:
            cleaned["options"] = self._options(cleaned)
        return cleaned

    def changes(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The new values; the options as one mapping, where any of them was changed."""
        changes = super().changes(names)
        fields = {form(name) for name in self.option_names for form in (field_of, removal_of)}
        if fields & set(self.changed_data):
            changes["options"] = self.cleaned_data["options"]
        return changes

    def _options(self, cleaned: Mapping[str, Any]) -> dict[str, str]:
        """As the services take them: a secret one that is left out stays, an empty one goes."""
        options = {}
        for name in self.option_names:
            value = str(cleaned.get(field_of(name)) or "")
            if value or cleaned.get(removal_of(name)):
                options[name] = value
        return options

    def _messages(self, error: DomainError) -> list[tuple[str, Any]]:
        """What is said of the options, at the option that it names."""
        messages = []
        for field, texts in super()._messages(error):
            named = [name for name in self.option_names if f"option {name!r}" in str(texts)]
            is_option = field == "options" and len(named) == 1
            messages.append((field_of(named[0]) if is_option else field, texts))
        return messages


class NewSecretForm(forms.Form):
    secret = forms.CharField(
        max_length=4096,
        required=False,
        widget=SecretArea,
        help_text="The provider's new secret. Left empty, we make one and show it once.",
    )


class GraceForm(forms.Form):
    grace_hours = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_GRACE_HOURS,
        initial=GRACE_HOURS,
        widget=NumberInput,
        label="Grace, in hours",
        help_text=f"How long the old URL is answered too; 0 for not at all, empty for "
        f"{GRACE_HOURS}.",
    )


def is_secret(provider: Provider | None, option: str) -> bool:
    return provider is not None and option in provider.secret_options


def field_of(option: str) -> str:
    return f"option_{option}"


def removal_of(option: str) -> str:
    return f"remove_option_{option}"


def form_for(
    provider: Provider | None, options_set: Collection[str], *, is_new: bool
) -> type[SourceForm]:
    """The form with the options of a provider; `options_set` are its secret ones with a value."""
    fields: dict[str, Any] = {"of_provider": provider}
    if not is_new:  # these stay as they are, or have a button
        fields |= {"provider": None, "secret": None}
    for name in provider.options if provider else ():
        fields |= _option_fields(provider, name, name in options_set)
    if is_new and provider and provider.learns_secret:
        fields["secret"] = forms.CharField(
            max_length=4096, required=False, widget=SecretArea, help_text=LEARNED
        )
    return type("SourceForm", (SourceForm,), fields)


def option_fields_for(provider: Provider | None, options_set: Collection[str]) -> tuple[Any, ...]:
    """The names of the form's fields for a provider's options; side by side what belongs so."""
    return tuple(
        (field_of(name), removal_of(name))
        if name in options_set and not _is_needed(provider, name)
        else field_of(name)
        for name in (provider.options if provider else ())
    )


def _is_needed(provider: Provider | None, option: str) -> bool:
    return option in getattr(provider, "required_options", ())


def _option_fields(provider: Provider | None, name: str, is_set: bool) -> dict[str, forms.Field]:
    meaning = marked(provider.options[name]) if provider else ""
    label = f"Option {name}"
    if not is_secret(provider, name):
        widget = TextInput(attrs={"autocomplete": "off"})
        field = forms.CharField(required=False, label=label, help_text=meaning, widget=widget)
        return {field_of(name): field}
    hint = "Set. Left empty, it stays as it is." if is_set else "Not set."
    area = SecretArea(attrs={"placeholder": hint})
    fields: dict[str, forms.Field] = {
        field_of(name): forms.CharField(
            max_length=4096, required=False, label=label, help_text=meaning, widget=area
        )
    }
    if is_set and not _is_needed(provider, name):
        fields[removal_of(name)] = forms.BooleanField(
            required=False, label=f"Remove {name}", widget=Checkbox
        )
    return fields
