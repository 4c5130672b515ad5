"""ElevenLabs, which allows half an hour."""

from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import Tolerance

provider = Recipe(
    name="elevenlabs",
    label="ElevenLabs",
    docs="https://elevenlabs.io/docs/overview/administration/webhooks",
    signature_headers=("elevenlabs-signature",),
    split=",",
    version_key="v0",
    message="{timestamp}.{body}",
    timestamp="signature:t",
    tolerance=Tolerance(1800, 300),
    type=("json:type",),
    setup="In the settings: Webhooks, Create, authentication HMAC. The secret is shown once, used "
    "whole.",
)
