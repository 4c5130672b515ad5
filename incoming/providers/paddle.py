"""Paddle Billing. Its libraries take five seconds for old, which is less than clocks differ."""

from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import Tolerance

provider = Recipe(
    name="paddle",
    label="Paddle",
    docs="https://developer.paddle.com/webhooks/signature-verification",
    signature_headers=("paddle-signature",),
    split=";",
    version_key="h1",
    message="{timestamp}:{body}",
    timestamp="signature:ts",
    tolerance=Tolerance(5, None),
    id=("json:event_id", "json:notification_id"),
    type=("json:event_type",),
    setup="In the dashboard: Developer tools, Notifications, New destination. The secret is the "
    "endpoint's secret key (pdl_ntfset_…). Set a tolerance on the source where five seconds are "
    "too few for your clocks.",
)
