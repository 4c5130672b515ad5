"""RingCentral: a token of ours in a header, and a token of theirs to echo."""

from incoming.providers.handshake import echo_header
from incoming.providers.shared_token import SharedToken

provider = SharedToken(
    name="ringcentral",
    label="RingCentral",
    docs="https://developers.ringcentral.com/guide/notifications/webhooks/creating-webhooks",
    token_at=("header:verification-token",),
    id=("json:uuid",),
    type=("json:event",),
    on_handshake=echo_header("Validation-Token"),
    handshake_text="a POST with `Validation-Token`: the header back",
    unsigned_handshake=True,
    setup="Create the subscription through the API with the secret of this source as "
    "verificationToken of the delivery mode.",
)
