"""The part of a subscription's form that is about the endpoint's security."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from django import forms

from subscriptions.models import SigningSecret, Subscription
from subscriptions.security import FIELDS, shown_security
from subscriptions.services import MAX_ROTATION_GRACE, ROTATION_GRACE
from webhooks_project.admin.forms import (
    Checkbox,
    HeadersField,
    JsonField,
    NumberInput,
    SecretArea,
    Select,
    ServiceForm,
    Textarea,
)
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.values import moment
from webhooks_project.lib.authentication import SECRETS
from webhooks_project.lib.certificates import ends_at
from webhooks_project.lib.redaction import MASK

HOUR_SECONDS = 3600
KEPT = f"Secrets are shown as {MASK}; left so, they stay."


class MaskedHeadersField(HeadersField):
    """Headers whose values are never sent back to the browser, not even those just entered."""

    def bound_data(self, data: Any, initial: Any) -> Any:
        try:
            return dict.fromkeys(self.to_python(data), MASK)
        except forms.ValidationError:
            return initial


class AuthenticationField(JsonField):
    """An authentication whose secret is never sent back to the browser."""

    def bound_data(self, data: Any, initial: Any) -> Any:
        try:
            document = orjson.loads(data or "null")
        except orjson.JSONDecodeError:
            return initial
        if not isinstance(document, Mapping):
            return initial
        return {name: MASK if name in SECRETS.values() else document[name] for name in document}


class SecurityForm(ServiceForm):
    signature_template = JsonField(
        widget=Textarea(attrs={"rows": 3}),
        required=False,
        help_text='Another convention of signing, such as {"preset": "github"}; empty for '
        "Standard Webhooks.",
    )
    custom_headers = MaskedHeadersField(
        widget=Textarea(attrs={"rows": 3}),
        required=False,
        help_text=f"Name: value, one a line. {KEPT}",
    )
    authentication = AuthenticationField(
        widget=Textarea(attrs={"rows": 4}),
        required=False,
        help_text='Such as {"kind": "basic", "username": "a", "password": "b"}; the kinds are '
        f"basic, bearer and oauth2. {KEPT}",
    )
    client_certificate = forms.CharField(
        widget=Textarea(attrs={"rows": 3}), required=False, help_text="PEM, for mutual TLS."
    )
    client_key = forms.CharField(
        widget=SecretArea,
        required=False,
        help_text="PEM, without passphrase. Left empty it stays, as long as there is a "
        "certificate.",
    )
    ca_certificates = forms.CharField(
        widget=Textarea(attrs={"rows": 3}),
        required=False,
        label="CA certificates",
        help_text="PEM: whom to trust in place of the authorities that everybody trusts.",
    )
    encryption_key = forms.CharField(
        widget=Textarea(attrs={"rows": 3}),
        required=False,
        help_text="The receiver's public key, JWK or PEM: bodies are then sealed for it (JWE).",
    )

    keep_credentials = forms.BooleanField(
        required=False,
        widget=Checkbox,
        help_text="Where the URL is changed to another host: it may be sent the custom headers and "
        "the authentication that there are.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            shown = shown_security(self.instance) | {"client_key": ""}
            self.initial.update({name: shown[name] for name in FIELDS if name in self.fields})

    def security(self) -> dict[str, Any]:
        """The settings that were changed, for the service."""
        changed = self.changes(FIELDS)
        if changed.get("client_certificate") == "":
            changed["client_key"] = ""
        return changed

    def kept(self) -> bool:
        """Whether another host may be sent the credentials that there are."""
        return bool(self.cleaned_data.get("keep_credentials"))


class RotationForm(forms.Form):
    kind = forms.ChoiceField(
        choices=SigningSecret.Kind.choices,
        initial=SigningSecret.Kind.HMAC,
        required=False,
        widget=Select,
        help_text="A shared secret (hmac), or a key whose public half the receiver fetches.",
    )
    grace_hours = forms.IntegerField(
        min_value=0,
        max_value=int(MAX_ROTATION_GRACE.total_seconds()) // HOUR_SECONDS,
        initial=int(ROTATION_GRACE.total_seconds()) // HOUR_SECONDS,
        required=False,
        widget=NumberInput,
        help_text="For how long the old ones sign too: up to 168 hours, which are seven days.",
    )
    replaces_all = forms.BooleanField(
        required=False, widget=Checkbox, help_text="Whether those of the other kind end too."
    )

    def clean_kind(self) -> SigningSecret.Kind:
        return SigningSecret.Kind(self.cleaned_data["kind"] or SigningSecret.Kind.HMAC)

    def clean_grace_hours(self) -> int:
        hours: int | None = self.cleaned_data["grace_hours"]
        return self.fields["grace_hours"].initial if hours is None else hours


def security_panel(subscription: Subscription) -> Panel | None:
    """What is set, for people who may only look."""
    shown = {name: value for name, value in shown_security(subscription).items() if value}
    if not shown:
        return None
    if "client_certificate" in shown:
        shown["client_certificate"] = f"valid until {moment(ends_at(shown['client_certificate']))}"
    if "ca_certificates" in shown:
        shown["ca_certificates"] = f"{shown['ca_certificates'].count('BEGIN CERTIFICATE')} of them"
    rows = [
        [name, value if isinstance(value, str) else orjson.dumps(value).decode()]
        for name, value in shown.items()
    ]
    return Table("Security", ["Setting", "Value"], rows)
