"""Enode: HMAC with SHA-1; the body is a list of events."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="enode",
    label="Enode",
    docs="https://developers.enode.com/docs/webhooks",
    signature_headers=("x-enode-signature",),
    prefix="sha1=",
    hash="sha1",
    id=("header:x-enode-delivery",),
    type=("json:*.event",),
    setup="Create the webhook through the API with the secret of this source. Enode waits five "
    "seconds and gives the webhook up after a day of failures.",
)
