"""Oura, with a GET that checks a token of ours."""

from incoming.providers.handshake import verify_token
from incoming.providers.recipe import Recipe

provider = Recipe(
    name="oura",
    label="Oura",
    docs="https://cloud.ouraring.com/v2/docs#tag/Webhook-Subscription-Routes",
    signature_headers=("x-oura-signature",),
    message="{timestamp}{body}",
    timestamp="header:x-oura-timestamp",
    type=("{json:data_type}.{json:event_type}",),
    methods=frozenset({"POST", "GET"}),
    on_handshake=verify_token(token="verification_token", value="challenge", echo_as="challenge"),  # noqa: S106
    handshake_text="GET with `verification_token` and `challenge`: the challenge back in JSON",
    secret_options=frozenset({"verify_token"}),
    option_texts={"verify_token": "the verification_token of the subscription"},
    setup="Create the subscription through the API with a verification_token of your own (the "
    "option `verify_token`). The secret is the app's client secret, on its page among Oura's API "
    "applications.",
)
