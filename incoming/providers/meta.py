"""Meta: Facebook, Instagram, Messenger, and WhatsApp in its own file.

The body keeps its `\\u` escapes and is signed so: re-serialised it would not match.
"""

from incoming.providers.handshake import verify_token
from incoming.providers.recipe import Recipe


def meta(*, name: str, label: str, docs: str, setup: str) -> Recipe:
    return Recipe(
        name=name,
        label=label,
        docs=docs,
        setup=setup,
        signature_headers=("x-hub-signature-256",),
        prefix="sha256=",
        type=("{json:object}.{json:entry.*.changes.*.field}", "json:object"),
        methods=frozenset({"POST", "GET"}),
        on_handshake=verify_token(
            token="hub.verify_token",  # noqa: S106 - a parameter's name
            value="hub.challenge",
            mode="hub.mode",
        ),
        handshake_text="GET with `hub.mode`, `hub.verify_token` and `hub.challenge`: the challenge "
        "back as text; 403 where the token does not fit",
        secret_options=frozenset({"verify_token"}),
        option_texts={"verify_token": "the verify token; without it, any of the secrets"},
    )


provider = meta(
    name="meta",
    label="Meta",
    docs="https://developers.facebook.com/docs/graph-api/webhooks/getting-started",
    setup="In the App Dashboard: Webhooks, Edit Callback URL, with a verify token of your own (the "
    "option `verify_token`). The secret is the app secret, under App settings, Basic. One call "
    "holds up to 1,000 changes.",
)
