"""Vercel: HMAC with SHA-1."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="vercel",
    label="Vercel",
    docs="https://vercel.com/docs/webhooks",
    signature_headers=("x-vercel-signature",),
    hash="sha1",
    id=("json:id",),
    type=("json:type",),
    setup="In the team's settings: Webhooks, Create. The secret is shown once, when it is created; "
    "an integration's webhooks are signed with its client secret.",
)
