"""Linear. The time that counts is the one in the signed body; the header's is not signed."""

from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import Tolerance

provider = Recipe(
    name="linear",
    label="Linear",
    docs="https://linear.app/developers/webhooks",
    signature_headers=("linear-signature",),
    timestamp="json:webhookTimestamp",
    timestamp_unit="ms",
    tolerance=Tolerance(60, 60),
    id=("header:linear-delivery",),
    type=("{json:type}.{json:action}", "json:type"),
    setup="In the workspace's settings: API, Webhooks, New webhook, this URL. The signing secret "
    "is shown on the webhook's page.",
)
