"""WorkOS: Stripe's form with milliseconds, and a space after the comma."""

from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import Tolerance

provider = Recipe(
    name="workos",
    label="WorkOS",
    docs="https://workos.com/docs/events/data-syncing/webhooks",
    signature_headers=("workos-signature",),
    split=",",
    version_key="v1",
    message="{timestamp}.{body}",
    timestamp="signature:t",
    timestamp_unit="ms",
    tolerance=Tolerance(180, 180),
    id=("json:id",),
    type=("json:event",),
    setup="In the dashboard: Webhooks, Create Webhook. The secret is the endpoint's signing "
    "secret, used whole, as text.",
)
