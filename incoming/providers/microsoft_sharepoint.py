"""Microsoft SharePoint lists, whose notifications say only that something changed."""

from incoming.providers.microsoft_graph import validation_token
from incoming.providers.shared_token import SharedToken

provider = SharedToken(
    name="microsoft-sharepoint",
    label="Microsoft SharePoint",
    docs="https://learn.microsoft.com/en-us/sharepoint/dev/apis/webhooks/overview-sharepoint-webhooks",
    token_at=("json:value.*.clientState",),
    type=("json:value.*.resource",),
    on_handshake=validation_token,
    handshake_text="a POST `?validationtoken=`: the token back as text, within five seconds",
    unsigned_handshake=True,
    setup="Create the list's subscription through the API with this URL and the secret of this "
    "source as clientState. It ends after 180 days at most: renew it.",
)
