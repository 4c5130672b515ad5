"""Mailchimp, which signs nothing: the secret has to be in the URL that it calls."""

from incoming.providers.handshake import ok_to
from incoming.providers.shared_token import SharedToken

provider = SharedToken(
    name="mailchimp",
    label="Mailchimp",
    docs="https://mailchimp.com/developer/marketing/guides/sync-audience-data-webhooks/",
    token_at=("query:token", "query:secret"),
    id=("{form:type}:{form:data[id]}:{form:fired_at}",),
    type=("form:type",),
    methods=frozenset({"POST", "GET", "HEAD"}),
    on_handshake=ok_to("GET", "HEAD"),
    handshake_text="GET: 200",
    setup="In the audience's settings: Webhooks, Create, with this URL and `?token=` and the "
    "secret of this source after it as callback URL.",
)
