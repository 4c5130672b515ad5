"""Paystack: SHA-512, keyed with the account's secret key."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="paystack",
    label="Paystack",
    docs="https://paystack.com/docs/payments/webhooks/",
    signature_headers=("x-paystack-signature",),
    hash="sha512",
    type=("json:event",),
    setup="In the dashboard: Settings, API Keys & Webhooks, this URL, separately for test and "
    "live. The secret is the secret key (sk_…) on the same page.",
)
