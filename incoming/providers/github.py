"""GitHub. The delivery id and the event name are headers, which GitHub does not sign."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="github",
    label="GitHub",
    docs="https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
    signature_headers=("x-hub-signature-256",),
    prefix="sha256=",
    id=("header:x-github-delivery",),
    type=("header:x-github-event",),
    setup="In the repository or organisation: Settings, Webhooks, Add webhook. Content type "
    "application/json, the secret of this source as Secret, and the events you want. GitHub waits "
    "ten seconds and does not try again by itself; redeliver from the hook's page.",
)
