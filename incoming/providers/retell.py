"""Retell AI: the time comes after the body in what is signed."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="retell",
    label="Retell AI",
    docs="https://docs.retellai.com/features/secure-webhook",
    signature_headers=("x-retell-signature",),
    split=",",
    version_key="d",
    message="{body}{timestamp}",
    timestamp="signature:v",
    timestamp_unit="ms",
    id=("{json:event}:{json:call.call_id}",),
    type=("json:event",),
    setup="In the dashboard: Webhooks, this URL. The secret is the API key that carries the "
    "webhook badge.",
)
