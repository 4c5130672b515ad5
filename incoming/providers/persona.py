"""Persona: while a secret is rotated the header holds two `t=…,v1=…`, with a space between."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="persona",
    label="Persona",
    docs="https://docs.withpersona.com/webhooks-best-practices",
    signature_headers=("persona-signature",),
    group=" ",
    split=",",
    version_key="v1",
    message="{timestamp}.{body}",
    timestamp="signature:t",
    id=("json:data.id",),
    type=("json:data.attributes.name",),
    setup="In the dashboard: Webhooks, Create, this URL. The secret is the webhook's (wbhsec_…), "
    "revealed on its page, used whole.",
)
