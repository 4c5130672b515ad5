"""Razorpay."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="razorpay",
    label="Razorpay",
    docs="https://razorpay.com/docs/webhooks/validate-test/",
    signature_headers=("x-razorpay-signature",),
    id=("header:x-razorpay-event-id",),
    type=("json:event",),
    setup="In the dashboard: Account & Settings, Webhooks, Add New Webhook, this URL. Enter the "
    "secret of this source as Secret, which is not the API key's.",
)
