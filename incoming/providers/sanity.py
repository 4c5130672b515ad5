"""Sanity: base64url without padding, and a timestamp in milliseconds."""

from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import UNBOUNDED

provider = Recipe(
    name="sanity",
    label="Sanity",
    docs="https://www.sanity.io/docs/webhooks",
    signature_headers=("sanity-webhook-signature",),
    split=",",
    version_key="v1",
    encoding="base64url",
    message="{timestamp}.{body}",
    timestamp="signature:t",
    timestamp_unit="ms",
    # Its toolkit does not look at the age; it tries again for half an hour.
    tolerance=UNBOUNDED,
    id=("header:idempotency-key",),
    type=("json:_type",),
    setup="In the project: API, GROQ-powered Webhooks, Create. Enter the secret of this source. "
    "What the payload holds is up to the webhook's projection.",
)
