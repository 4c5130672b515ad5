"""The third parties that the hub knows: one file and one line here for each."""

from incoming.providers import (
    generic_hmac,
    github,
    shopify,
    slack,
    standard_webhooks,
    stripe,
)
from incoming.providers.call import (
    Answer,
    Call,
    Cause,
    Identity,
    Provider,
    Refused,
    Secret,
    Verified,
)

__all__ = [
    "PROVIDERS",
    "Answer",
    "Call",
    "Cause",
    "Identity",
    "Provider",
    "Refused",
    "Secret",
    "Verified",
]

_MODULES = (
    generic_hmac,
    github,
    shopify,
    slack,
    standard_webhooks,
    stripe,
)

PROVIDERS: dict[str, Provider] = {module.provider.name: module.provider for module in _MODULES}
