"""Zendesk. The secret looks like base64 but is used as the text it is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from incoming.providers.call import Call, Identity
from incoming.providers.locator import first
from incoming.providers.placing import place
from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import UNBOUNDED


@dataclass(frozen=True, kw_only=True)
class Zendesk(Recipe):
    def identify(self, call: Call, options: Mapping[str, str] | None = None) -> Identity:
        """What a trigger sends is the user's: an `id` in it may be a ticket's."""
        identity = super().identify(call, options)
        if identity.type.startswith("zen:"):
            return identity
        return replace(identity, external_id=first(call, self.id[1:]))

    def sample(
        self, call: Call, identity: Identity, options: Mapping[str, str] | None = None
    ) -> Call:
        return place(super().sample(call, identity, options), self.id[1], identity.external_id)


provider = Zendesk(
    name="zendesk",
    label="Zendesk",
    docs="https://developer.zendesk.com/documentation/webhooks/verifying/",
    signature_headers=("x-zendesk-webhook-signature",),
    encoding="base64",
    message="{timestamp}{body}",
    timestamp="header:x-zendesk-webhook-signature-timestamp",
    timestamp_unit="any",
    tolerance=UNBOUNDED,
    id=("json:id", "header:x-zendesk-webhook-invocation-id"),
    type=("json:type",),
    methods=frozenset({"POST", "GET", "PUT", "PATCH", "DELETE"}),  # the user chooses
    setup="In the Admin Center: Apps and integrations, Webhooks. The secret is behind Reveal "
    "secret on the webhook's page. Tests from that page before it is saved use a public secret of "
    "Zendesk's own, and are refused here.",
)
