"""Ethoca alerts: HTTP Basic, besides the client certificate that TLS has to check."""

from incoming.providers.shared_token import BasicAuth

provider = BasicAuth(
    name="ethoca",
    label="Ethoca",
    docs="https://developer.mastercard.com/ethoca-alerts-for-merchants/documentation/api-basics/",
    id=("json:ethocaId", "json:ethocaID"),
    type=("json:alertType",),
    setup="Ethoca's delivery team registers this URL and a user and password. The secret is "
    "user:password. Let the proxy before the hub require Ethoca's client certificate.",
)
