"""Bitbucket Cloud: GitHub's older header name, but with SHA-256."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="bitbucket",
    label="Bitbucket",
    docs="https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/",
    signature_headers=("x-hub-signature",),
    prefix="sha256=",
    id=("header:x-request-uuid",),
    type=("header:x-event-key",),
    setup="In the repository's settings: Webhooks, Add webhook, with this URL and the secret of "
    "this source. A webhook without a secret is not signed, and refused here. The event key is a "
    "header and not signed.",
)
