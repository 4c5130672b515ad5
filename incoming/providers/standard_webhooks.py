"""Standard Webhooks, v1 (HMAC) and v1a (Ed25519), under both of its header prefixes.

Source: the Standard Webhooks specification 1.0.0; Svix, from which it came, names its headers
`svix-*`. Many third parties sign so: each has its own file and makes its provider here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from incoming.providers.call import Call, Identity, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.locator import first
from incoming.providers.placing import place
from incoming.providers.recipe import Recipe

_PUBLIC = ("whpk_", "whsk_")


@dataclass(frozen=True, kw_only=True)
class StandardWebhooks(Declaration):
    """`webhook-*` or `svix-*` headers. A secret `whpk_…` is a public key and checks v1a, any other
    is a shared secret and checks v1; `key` says how it becomes the HMAC key."""

    type: tuple[str, ...] = ("json:type",)
    key: str = "whsec"
    _recipes: Mapping[str, tuple[Recipe, Recipe]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        recipes = {prefix: (self._v1(prefix), self._v1a(prefix)) for prefix in ("webhook", "svix")}
        object.__setattr__(self, "_recipes", recipes)

    @property
    def v1(self) -> Recipe:
        """The HMAC signature by its standard header names."""
        return self._recipes["webhook"][0]

    def _v1(self, prefix: str) -> Recipe:
        return Recipe(
            signature_headers=(f"{prefix}-signature",),
            split=" ",
            prefix="v1,",
            encoding="base64",
            key=self.key,
            message=f"{{header:{prefix}-id}}.{{timestamp}}.{{body}}",
            timestamp=f"header:{prefix}-timestamp",
        )

    def _v1a(self, prefix: str) -> Recipe:
        return Recipe(
            signature_headers=(f"{prefix}-signature",),
            split=" ",
            prefix="v1a,",
            encoding="base64",
            algorithm="ed25519",
            message=f"{{header:{prefix}-id}}.{{timestamp}}.{{body}}",
            timestamp=f"header:{prefix}-timestamp",
        )

    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        v1, v1a = self._recipes[_prefix(call)]
        public = [secret for secret in secrets if secret.value.startswith(_PUBLIC)]
        shared = [secret for secret in secrets if secret not in public]
        if public:
            verdict = v1a.verify(call, public, tolerance_seconds=tolerance_seconds)
            if isinstance(verdict, Verified) or not shared:
                return verdict
        return v1.verify(call, shared, tolerance_seconds=tolerance_seconds)

    def sample(
        self, call: Call, identity: Identity, options: Mapping[str, str] | None = None
    ) -> Call:
        call = super().sample(call, identity, options)
        return place(call, "header:webhook-id", identity.external_id)

    def sign(
        self, call: Call, secret: Secret, options: Mapping[str, str] | None = None
    ) -> Call | None:
        return None if secret.value.startswith(_PUBLIC) else self.v1.sign(call, secret)

    def identify(self, call: Call, options: Mapping[str, str] | None = None) -> Identity:
        # The id of the prefix that was verified: the other one's headers are anybody's words.
        message_id = first(call, (f"header:{_prefix(call)}-id",))
        return Identity(external_id=message_id, type=first(call, self.type))

    def facts(self) -> Sequence[tuple[str, str]]:
        return [
            ("Signature", "`webhook-signature` or `svix-signature`, a list of `v1,` and `v1a,`"),
            ("Algorithm", "HMAC-SHA256 (v1) or Ed25519 (v1a), base64"),
            ("Signed content", "`{webhook-id}.{webhook-timestamp}.{body}`"),
            ("Timestamp", "`webhook-timestamp`, Unix seconds"),
            ("Tolerance", "300 s old at most, 300 s ahead at most"),
            ("Id, for de-duplication", "`webhook-id`, signed"),
            *self._shared_facts(),
        ]


def _prefix(call: Call) -> str:
    return "webhook" if "webhook-signature" in call.headers else "svix"


provider = StandardWebhooks(
    name="standard-webhooks",
    label="Standard Webhooks",
    docs="https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
    setup="For any sender that follows the specification. The secret is whsec_ and base64 as the "
    "sender shows it (the prefix may be left out), or whpk_ and base64 for its public key.",
)
