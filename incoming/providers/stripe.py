"""Stripe. While a secret is rolled the header holds several v1; v0 is for tests and ignored."""

from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import Tolerance

provider = Recipe(
    name="stripe",
    label="Stripe",
    docs="https://docs.stripe.com/webhooks/signature",
    signature_headers=("stripe-signature",),
    split=",",
    version_key="v1",
    message="{timestamp}.{body}",
    timestamp="signature:t",
    # Stripe's own libraries bound the past only: a clock that runs behind is no attack.
    tolerance=Tolerance(300, None),
    id=("json:id",),
    type=("json:type",),
    setup="In the dashboard: Developers, Webhooks, Add endpoint. The signing secret shown there "
    "(whsec_…) is used whole, as text.",
)
