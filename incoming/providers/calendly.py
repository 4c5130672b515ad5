"""Calendly, which recommends three minutes for the age."""

from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import Tolerance

provider = Recipe(
    name="calendly",
    label="Calendly",
    docs="https://developer.calendly.com/api-docs/4c305798a61d3-webhook-signatures",
    signature_headers=("calendly-webhook-signature",),
    split=",",
    version_key="v1",
    message="{timestamp}.{body}",
    timestamp="signature:t",
    tolerance=Tolerance(180, 180),
    type=("json:event",),
    setup="Create the webhook subscription through the API, with this URL and the secret of this "
    "source as signing_key.",
)
