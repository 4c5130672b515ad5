"""Salesforce outbound messages: SOAP, not signed, and to be acknowledged in SOAP."""

from incoming.providers.call import Answer
from incoming.providers.shared_token import SharedToken

_ACK = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound">'
    b"<Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>"
)

provider = SharedToken(
    name="salesforce",
    label="Salesforce",
    docs="https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/"
    "sforce_api_om_outboundmessaging.htm",
    token_at=("query:token",),
    type=("xml:ActionId",),
    acknowledgement=Answer(body=_ACK, content_type="text/xml; charset=utf-8"),
    setup="In Setup: Outbound Messages, New, with this URL and `?token=` and the secret of this "
    "source after it as endpoint. The message itself proves nothing: let the source take calls "
    "from Salesforce's networks only.",
)
