"""Cisco Meraki: the secret itself in the body."""

from incoming.providers.shared_token import SharedToken

provider = SharedToken(
    name="meraki",
    label="Cisco Meraki",
    docs="https://developer.cisco.com/meraki/webhooks/introduction/",
    token_at=("json:sharedSecret",),
    id=("json:alertId",),
    type=("json:alertTypeId",),
    setup="In the dashboard: Network-wide, Alerts, Webhooks, HTTPS servers, with this URL and the "
    "secret of this source as shared secret. Keep the included payload template: another may leave "
    "the secret out.",
)
