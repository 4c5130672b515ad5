"""Postmark: HTTP Basic, by a user and password in the URL."""

from incoming.providers.shared_token import BasicAuth

provider = BasicAuth(
    name="postmark",
    label="Postmark",
    docs="https://postmarkapp.com/developer/webhooks/webhooks-overview",
    # A message is opened and clicked often: only with its time is such a call one of a kind.
    id=(
        "{json:RecordType}:{json:ID}",
        "{json:RecordType}:{json:MessageID}:{json:DeliveredAt}",
        "{json:RecordType}:{json:MessageID}:{json:ReceivedAt}",
        "{json:RecordType}:{json:MessageID}:{json:ChangedAt}",
    ),
    type=("json:RecordType",),
    setup="In the server's message stream: Webhooks, Add webhook, with Basic auth credentials of "
    "your own. The secret is user:password.",
)
