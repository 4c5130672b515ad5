"""Auth0, custom log streams."""

from incoming.providers.shared_token import SharedToken

provider = SharedToken(
    name="auth0",
    label="Auth0",
    docs="https://auth0.com/docs/customize/log-streams/custom-log-streams",
    token_at=("header:authorization",),
    id=("json:*.log_id", "json:logs.*.log_id"),
    type=("json:*.data.type", "json:logs.*.data.type"),
    setup="In the dashboard: Monitoring, Streams, Create, Custom Webhook, this URL as payload URL. "
    "The secret of this source goes into Authorization Token.",
)
