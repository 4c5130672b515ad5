"""Hugging Face: the secret itself in a header."""

from incoming.providers.shared_token import SharedToken

provider = SharedToken(
    name="huggingface",
    label="Hugging Face",
    docs="https://huggingface.co/docs/hub/webhooks",
    token_at=("header:x-webhook-secret", "query:secret"),
    type=("{json:event.scope}.{json:event.action}",),
    setup="In the settings: Webhooks, Add a new webhook, with this URL and the secret of this "
    "source as Secret.",
)
