"""WhatsApp Business, on Meta's platform."""

from incoming.providers.meta import meta

provider = meta(
    name="whatsapp",
    label="WhatsApp",
    docs="https://developers.facebook.com/docs/whatsapp/cloud-api/guides/set-up-webhooks",
    setup="In the App Dashboard: WhatsApp, Configuration, with a verify token of your own (the "
    "option `verify_token`). The secret is the app secret, under App settings, Basic. Meta tries "
    "for seven days.",
)
