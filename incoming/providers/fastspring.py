"""FastSpring. One call holds many events."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="fastspring",
    label="FastSpring",
    docs="https://developer.fastspring.com/reference/message-security",
    signature_headers=("x-fs-signature",),
    encoding="base64",
    id=("json:events.*.id",),
    type=("json:events.*.type",),
    setup="In the app: Developer Tools, Webhooks, Configuration. Set the secret of this source as "
    "HMAC SHA256 Secret; without one the calls are not signed.",
)
