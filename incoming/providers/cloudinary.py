"""Cloudinary: no HMAC but a plain SHA-1, with the API secret at the end of what is hashed."""

from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import Tolerance

provider = Recipe(
    name="cloudinary",
    label="Cloudinary",
    docs="https://cloudinary.com/documentation/notification_signatures",
    signature_headers=("x-cld-signature",),
    algorithm="digest",
    hash="sha1",
    message="{body}{timestamp}{secret}",
    timestamp="header:x-cld-timestamp",
    tolerance=Tolerance(7200, 300),
    id=("json:notification_id", "json:request_id"),
    type=("json:notification_type",),
    setup="In the settings: Webhook Notifications, Add. The secret is the account's API secret. "
    "Accounts that were switched to SHA-256 signatures are not covered.",
)
