"""Strava, which signs nothing: the secret has to be in the URL that it calls."""

from incoming.providers.handshake import verify_token
from incoming.providers.shared_token import SharedToken

provider = SharedToken(
    name="strava",
    label="Strava",
    docs="https://developers.strava.com/docs/webhooks/",
    token_at=("query:token",),
    id=("{json:object_type}:{json:object_id}:{json:aspect_type}:{json:event_time}",),
    type=("{json:object_type}.{json:aspect_type}",),
    methods=frozenset({"POST", "GET"}),
    on_handshake=verify_token(
        token="hub.verify_token",  # noqa: S106 - a parameter's name
        value="hub.challenge",
        mode="hub.mode",
        echo_as="hub.challenge",
    ),
    handshake_text="GET with `hub.mode`, `hub.verify_token` and `hub.challenge`: the challenge "
    "back in JSON, within two seconds",
    secret_options=frozenset({"verify_token"}),
    option_texts={"verify_token": "the verify_token; without it, any of the secrets"},
    setup="Create the push subscription with this URL and `?token=` and the secret of this source "
    "after it as callback_url, and a verify_token of your own (the option `verify_token`, or else "
    "that secret). The payload holds ids only: fetch the rest.",
)
