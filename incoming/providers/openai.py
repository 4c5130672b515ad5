"""OpenAI."""

from incoming.providers.standard_webhooks import StandardWebhooks

provider = StandardWebhooks(
    name="openai",
    label="OpenAI",
    docs="https://platform.openai.com/docs/guides/webhooks",
    setup="In the project's settings: Webhooks, Create. The signing secret (whsec_…) is shown "
    "once, when the endpoint is created.",
)
