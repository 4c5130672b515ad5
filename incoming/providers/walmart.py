"""Walmart Marketplace: method, path, time and the body's hash, on a line each.

Its headers are `WM_SEC.…`; the underscore arrives as a dash.
"""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="walmart",
    label="Walmart Marketplace",
    docs="https://developer.walmart.com/us-marketplace/docs/security-and-authenticity",
    signature_headers=("wm-sec.signature",),
    encoding="base64",
    message="{method}\n{path_query}\n{timestamp}\n{body_sha256}",
    timestamp="header:wm-sec.timestamp",
    type=("json:source.eventType", "json:eventType"),
    setup="Subscribe this URL through the Notifications API with HMAC authentication and the "
    "secret of this source. Its headers have underscores and dots in their names, which a proxy "
    "before the hub must pass on (nginx: underscores_in_headers on, ignore_invalid_headers off). "
    "Walmart waits three seconds.",
)
