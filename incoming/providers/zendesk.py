"""Zendesk. The secret looks like base64 but is used as the text it is."""

from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import UNBOUNDED

provider = Recipe(
    name="zendesk",
    label="Zendesk",
    docs="https://developer.zendesk.com/documentation/webhooks/verifying/",
    signature_headers=("x-zendesk-webhook-signature",),
    encoding="base64",
    message="{timestamp}{body}",
    timestamp="header:x-zendesk-webhook-signature-timestamp",
    timestamp_unit="any",
    tolerance=UNBOUNDED,
    id=("json:id",),
    type=("json:type",),
    methods=frozenset({"POST", "GET", "PUT", "PATCH", "DELETE"}),  # the user chooses
    setup="In the Admin Center: Apps and integrations, Webhooks. The secret is behind Reveal "
    "secret on the webhook's page. Tests from that page before it is saved use a public secret of "
    "Zendesk's own, and are refused here.",
)
