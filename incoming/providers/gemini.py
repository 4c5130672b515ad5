"""Google Gemini, for webhooks of a project; the signed tokens of single jobs are not covered."""

from incoming.providers.standard_webhooks import StandardWebhooks

provider = StandardWebhooks(
    name="gemini",
    label="Google Gemini",
    docs="https://ai.google.dev/gemini-api/docs/webhooks",
    setup="Register this URL as a webhook of the project. The signing secret is returned once, "
    "when it is created.",
)
