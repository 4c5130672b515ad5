"""Akeneo PIM, Events API."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="akeneo",
    label="Akeneo",
    docs="https://api.akeneo.com/events-documentation/security.html",
    signature_headers=("x-akeneo-request-signature",),
    message="{timestamp}.{body}",
    timestamp="header:x-akeneo-request-timestamp",
    id=("json:events.*.event_id",),
    type=("json:events.*.action",),
    setup="In the PIM: Connect, Connection settings, the connection's Event subscription, this URL "
    "as Request URL. The secret is the connection's, shown on the same page. Akeneo waits half a "
    "second and does not try again.",
)
