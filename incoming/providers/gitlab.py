"""GitLab: a plain token in a header, or since 2026 a Standard Webhooks signature.

A source with a signing secret (whsec_…) only takes signed calls. Tokens and signing secrets are
kept apart: a token is sent in clear with every call, so it must never do as a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from incoming.providers.call import Call, Cause, Identity, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.locator import first
from incoming.providers.placing import place
from incoming.providers.shared_token import SharedToken
from incoming.providers.standard_webhooks import StandardWebhooks

_SIGNED = StandardWebhooks()
_TOKEN = SharedToken(token_at=("header:x-gitlab-token",))
_UNSIGNED_IDS = ("header:idempotency-key", "header:x-gitlab-event-uuid")


@dataclass(frozen=True, kw_only=True)
class Gitlab(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        signing = [secret for secret in secrets if secret.value.startswith("whsec_")]
        signed = "webhook-signature" in call.headers
        if signed and (signing or not _TOKEN.applies(call)):
            return _SIGNED.verify(call, signing, tolerance_seconds=tolerance_seconds)
        if signing:
            return Refused(Cause.SIGNATURE_MISSING, "the source takes signed calls only")
        return _TOKEN.verify(call, secrets)

    def sample(
        self, call: Call, identity: Identity, options: Mapping[str, str] | None = None
    ) -> Call:
        call = super().sample(call, identity, options)
        return place(call, _UNSIGNED_IDS[0], identity.external_id)

    def sign(
        self, call: Call, secret: Secret, options: Mapping[str, str] | None = None
    ) -> Call | None:
        way = _SIGNED if secret.value.startswith("whsec_") else _TOKEN
        return way.sign(call, secret)

    def identify(self, call: Call, options: Mapping[str, str] | None = None) -> Identity:
        signed = "webhook-signature" in call.headers
        ids = ("header:webhook-id",) if signed else _UNSIGNED_IDS
        return Identity(external_id=first(call, ids), type=first(call, self.type))

    def _covers(self, locator: str) -> bool:
        return super()._covers(locator) or locator == "header:webhook-id"


provider = Gitlab(
    name="gitlab",
    label="GitLab",
    sends_secret=True,
    docs="https://docs.gitlab.com/user/project/integrations/webhooks/",
    signing="`webhook-signature`, as Standard Webhooks v1; or `X-Gitlab-Token`, the secret itself, "
    "for a source without a signing secret (whsec_…)",
    id=("header:webhook-id", *_UNSIGNED_IDS),
    type=("json:object_kind", "json:event_name", "header:x-gitlab-event"),
    setup="In the project: Settings, Webhooks, Add new webhook. With a signing token the secret is "
    "that token (whsec_…), shown once; otherwise enter the secret of this source as secret token.",
)
