"""Microsoft Graph: no signature, but a word of ours, `clientState`, in each notification.

Before a subscription exists Graph asks with a token in the URL, in a POST. Notifications that
carry resource data hold tokens of Microsoft's and encrypted data besides; these are not looked at
here. SharePoint does the same, under lower-case names, in its own file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from incoming.providers.call import Answer, Call, Secret
from incoming.providers.handshake import challenge, plain
from incoming.providers.shared_token import SharedToken


def validation_token(
    call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
) -> Answer | None:
    for name, value in call.query.items():
        if name.lower() == "validationtoken" and (echo := challenge(value)):
            return plain(echo)
    return None


provider = SharedToken(
    name="microsoft-graph",
    label="Microsoft Graph",
    docs="https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks",
    token_at=("json:value.*.clientState",),
    type=("{json:value.*.changeType}", "json:value.*.lifecycleEvent"),
    on_handshake=validation_token,
    handshake_text="a POST `?validationToken=`: the token back as text, decoded, within ten "
    "seconds",
    unsigned_handshake=True,
    setup="Create the subscription through the API with this URL as notificationUrl (and "
    "lifecycleNotificationUrl) and the secret of this source as clientState. Subscriptions end "
    "after an hour to a month: renew them. Graph waits three seconds.",
)
