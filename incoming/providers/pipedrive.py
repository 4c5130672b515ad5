"""Pipedrive, which gives up on a URL quickly."""

from incoming.providers.shared_token import BasicAuth

provider = BasicAuth(
    name="pipedrive",
    label="Pipedrive",
    docs="https://pipedrive.readme.io/docs/guide-for-webhooks-v2",
    # Before version 2 meta.id is the deal's or the person's, and comes with every change.
    id=("{json:meta.entity}:{json:meta.id}",),
    type=("{json:meta.action}.{json:meta.entity}", "json:event"),
    setup="In the tools: Webhooks, Create, with this URL and an HTTP auth username and password of "
    "your own. The secret is user:password. Ten first attempts that fail suspend the webhook for "
    "half an hour.",
)
