"""LINE Messaging API."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="line",
    label="LINE",
    docs="https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/",
    signature_headers=("x-line-signature",),
    encoding="base64",
    id=("json:events.*.webhookEventId",),
    type=("json:events.*.type",),
    setup="In the LINE Developers console: the channel's Messaging API tab, Webhook URL, Use "
    "webhook. The secret is the channel secret, on the Basic settings tab. Verify sends an empty "
    "batch.",
)
