"""Revolut, Merchant and Business. Several signatures come while a secret is rotated."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="revolut",
    label="Revolut",
    docs="https://developer.revolut.com/docs/guides/merchant/monitor-and-observe/webhooks/"
    "verify-the-payload-signature",
    signature_headers=("revolut-signature",),
    split=",",
    prefix="v1=",
    message="v1.{timestamp}.{body}",
    timestamp="header:revolut-request-timestamp",
    timestamp_unit="ms",
    type=("json:event",),
    setup="Create the webhook through the API. The secret is the signing_secret in the answer "
    "(wsk_…).",
)
