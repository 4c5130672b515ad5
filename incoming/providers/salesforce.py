"""Salesforce outbound messages: SOAP, not signed, and to be acknowledged in SOAP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from incoming.providers.call import Answer, Call, Cause, Refused, Secret, Verified
from incoming.providers.locator import locate
from incoming.providers.shared_token import SharedToken

_ID_LENGTH: Final = 15  # of an id without the three letters for systems that are blind to case
_ACK: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound">'
    b"<Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>"
)


@dataclass(frozen=True, kw_only=True)
class Salesforce(SharedToken):
    """With the option `organization_id` a message must also be of that organisation."""

    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        verdict = super().verify(call, secrets)
        wanted = (options or {}).get("organization_id", "").strip()[:_ID_LENGTH]
        if isinstance(verdict, Refused) or not wanted:
            return verdict
        given = locate(call, "xml:OrganizationId") or ""
        if given[:_ID_LENGTH] == wanted:
            return verdict
        return Refused(Cause.CREDENTIALS_MISMATCH, "another organisation")


provider = Salesforce(
    name="salesforce",
    label="Salesforce",
    docs="https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/"
    "sforce_api_om_outboundmessaging.htm",
    token_at=("query:token",),
    type=("xml:ActionId",),
    acknowledgement=Answer(body=_ACK, content_type="text/xml; charset=utf-8"),
    option_texts={
        "organization_id": "the organisation's id (Setup, Company Information): messages of others "
        "are refused"
    },
    setup="In Setup: Outbound Messages, New, with this URL and `?token=` and the secret of this "
    "source after it as endpoint. The message itself proves nothing: let the source take calls "
    "from Salesforce's networks only.",
)
