"""Jira Cloud, signed like Bitbucket; the event's name is in the body."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="jira",
    label="Jira",
    docs="https://developer.atlassian.com/cloud/jira/platform/webhooks/",
    signature_headers=("x-hub-signature",),
    prefix="sha256=",
    id=("header:x-atlassian-webhook-identifier",),
    type=("json:webhookEvent",),
    setup="In the administration: System, WebHooks, Create, with this URL and the secret of this "
    "source. A webhook without a secret is not signed, and refused here.",
)
