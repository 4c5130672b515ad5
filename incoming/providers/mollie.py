"""Mollie. Next-generation webhooks are signed; the classic ones hold an id and prove nothing."""

from incoming.providers.recipe import Recipe
from incoming.providers.shared_token import SharedToken
from incoming.providers.versions import Versions

provider = Versions(
    sends_secret=True,
    name="mollie",
    label="Mollie",
    docs="https://docs.mollie.com/reference/webhooks-best-practices",
    versions=(
        Recipe(signature_headers=("x-mollie-signature",), prefix="sha256=", prefix_optional=True),
        SharedToken(token_at=("query:token",)),
    ),
    # A classic call's id is the payment's: it comes with every change and is no id of the call.
    id=("json:id",),
    type=("json:type",),
    setup="Next-generation: in the dashboard, Developers, Webhooks; the secret is the signing "
    "secret. Classic: put `?token=` and the secret of this source after this URL where a payment "
    "names its webhookUrl, and fetch the payment before believing anything.",
)
