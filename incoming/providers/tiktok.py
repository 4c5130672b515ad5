"""TikTok for Developers; TikTok Shop signs in another way."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="tiktok",
    label="TikTok",
    docs="https://developers.tiktok.com/doc/webhooks-verification",
    signature_headers=("tiktok-signature",),
    split=",",
    version_key="s",
    message="{timestamp}.{body}",
    timestamp="signature:t",
    type=("json:event",),
    setup="In the developer portal: the app's Webhooks, Callback URL. The secret is the app's "
    "client secret, among its credentials under App details. `content` in the payload is JSON in a "
    "string.",
)
