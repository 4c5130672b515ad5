"""SendGrid's event webhook: ECDSA, over a body that ends in CR LF and must not be trimmed."""

from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import UNBOUNDED

provider = Recipe(
    name="sendgrid",
    label="SendGrid",
    docs="https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/"
    "getting-started-event-webhook-security-features",
    signature_headers=("x-twilio-email-event-webhook-signature",),
    algorithm="ecdsa",
    encoding="base64",
    message="{timestamp}{body}",
    timestamp="header:x-twilio-email-event-webhook-timestamp",
    # Its own libraries do not look at the age, and it tries again for a day.
    tolerance=UNBOUNDED,
    id=("json:*.sg_event_id",),
    type=("json:*.event",),
    setup="In the mail settings: Event Webhook, Signed Event Webhook, on. The secret is the "
    "verification key shown there, a public key in base64. One call holds many events.",
)
