"""CircleCI. Only the newest scheme that is known counts, so that nobody can go back to an older."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="circleci",
    label="CircleCI",
    docs="https://circleci.com/docs/guides/integration/outbound-webhooks/",
    signature_headers=("circleci-signature",),
    split=",",
    version_key="v1",
    id=("json:id",),
    type=("json:type",),
    setup="In the project's settings: Webhooks, Add Webhook, with the secret of this source as "
    "secret token.",
)
