"""Recurly. XML by default: the event is the name of the root element."""

from incoming.providers.shared_token import BasicAuth

provider = BasicAuth(
    name="recurly",
    label="Recurly",
    docs="https://docs.recurly.com/docs/webhooks",
    # In JSON the id may be the account's or the invoice's, which comes with every change.
    id=("{json:id}:{json:event_type}:{json:event_time}",),
    type=("json:event_type", "json:object_type", "xml:"),
    setup="In the app: Integrations, Webhooks, Configure, with an HTTP auth user and password of "
    "your own. The secret is user:password.",
)
