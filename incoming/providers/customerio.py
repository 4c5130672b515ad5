"""Customer.io, Slack's scheme without a prefix on the signature."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="customerio",
    label="Customer.io",
    docs="https://docs.customer.io/integrations/data-out/connections/webhooks/",
    signature_headers=("x-cio-signature",),
    message="v0:{timestamp}:{body}",
    timestamp="header:x-cio-timestamp",
    id=("json:event_id",),
    type=("{json:object_type}_{json:metric}",),
    setup="In the integrations: Reporting Webhooks, Add. The secret is the webhook signing key "
    "shown there. Customer.io waits four seconds.",
)
