"""Recharge. Its older signature is no HMAC but a hash of secret and body, and still comes along."""

from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import Tolerance
from incoming.providers.versions import Versions

TOLERANCE_SECONDS = 48 * 3600  # it tries for 48 hours, with the first call's timestamp

provider = Versions(
    name="recharge",
    label="Recharge",
    docs="https://docs.getrecharge.com/docs/webhooks-overview",
    versions=(
        Recipe(
            signature_headers=("x-recharge-webhook-signature",),
            split=",",
            version_key="v1",
            message="{timestamp}.{body}",
            timestamp="signature:t",
            tolerance=Tolerance(TOLERANCE_SECONDS, TOLERANCE_SECONDS),
        ),
        Recipe(
            signature_headers=("x-recharge-hmac-sha256",),
            algorithm="digest",
            message="{secret}{body}",
        ),
    ),
    type=("header:x-recharge-topic",),
    setup="Create the webhook through the API. The secret is the API client secret, under "
    "Integrations, API tokens, on the page of the token, and not the token itself. Recharge waits "
    "five seconds.",
)
