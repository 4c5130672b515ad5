"""Hookdeck Event Gateway, which passes on what others sent it."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="hookdeck",
    label="Hookdeck",
    docs="https://hookdeck.com/docs/authentication",
    signature_headers=("x-hookdeck-signature", "x-hookdeck-signature-2"),
    every_header=True,
    encoding="base64",
    id=("header:x-hookdeck-eventid",),
    type=("json:type",),
    setup="Make this URL a destination. The secret is the project's signing secret. While it is "
    "rotated a second signature header comes along.",
)
