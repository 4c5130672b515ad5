"""What a call's body says: the bytes stay the truth, and this is the JSON view of them."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

import orjson
import xmltodict
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from incoming.models import MAX_BODY_BYTES, Receipt
from incoming.providers.call import Call
from incoming.providers.form import form_pairs

FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
# What the door can read. Any other `…/json`, `…+json`, `…/xml` and `…+xml` too.
MEDIA_TYPES: Final = frozenset(
    {"application/json", "application/xml", "text/json", "text/xml", "text/plain", FORM, MULTIPART}
)
ENCODINGS: Final = ("gzip", "x-gzip")
GZIP_START: Final = b"\x1f\x8b"


class BodyTooLarge(Exception):
    """The body expands to more than its source takes."""


class BodyUnreadable(Exception):
    """The body is not what its headers say. The message is safe to show."""


def media_type(headers: Mapping[str, str]) -> str:
    """The media type that the call names, without its parameters; empty where it names none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def is_readable(kind: str) -> bool:
    """Whether the door takes this media type; none named counts as JSON, form or text."""
    return not kind or kind in MEDIA_TYPES or is_json(kind) or is_xml(kind)


def is_json(kind: str) -> bool:
    return kind.endswith(("/json", "+json"))


def is_xml(kind: str) -> bool:
    return kind.endswith(("/xml", "+xml"))


def content_encoding(headers: Mapping[str, str]) -> str:
    """How the body is compressed; empty for not at all."""
    name = headers.get("content-encoding", "").strip().lower()
    return "" if name == "identity" else name


def expanded(body: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """The body without its compression; no more than `limit` bytes are ever made of it.

    Raises BodyTooLarge, and BodyUnreadable for what is no gzip or is cut off.
    """
    if not content_encoding(headers):
        return body
    # One member: gzip allows several, one after the other, but nobody sends a webhook so.
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = unzip.decompress(body, limit + 1)
    except zlib.error as error:
        raise BodyUnreadable("the body is not gzip") from error
    if len(text) > limit:
        raise BodyTooLarge
    if not unzip.eof or unzip.unused_data:
        raise BodyUnreadable("the gzip body is cut off, or something stands behind it")
    return text


def parse(body: bytes, content_type: str) -> Any:
    """The body as a JSON value.

    A form is a mapping of its fields, lists where a name comes twice; a multipart body's files are
    `{"filename", "content_type", "size", "base64"}` in it. XML is a mapping: attributes with `@`,
    text beside them as `#text`. Else JSON where it is that, `{"text": …}` where it is UTF-8, and
    `{"base64": …}`. Never raises.
    """
    kind = content_type.partition(";")[0].strip().lower()
    found: Any = None
    if kind == FORM:
        found = _form(body, content_type)
    elif kind == MULTIPART:
        found = _multipart(body, content_type)
    elif is_xml(kind):
        found = _xml(body)
    if found:
        return found
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _text(body)


def data_of(receipt: Receipt) -> bytes:
    """An event's data, as JSON: a JSON body byte for byte, any other as `parse` gives it."""
    headers = headers_of(receipt)
    body = body_of(receipt)
    if media_type(headers) not in (FORM, MULTIPART) and not is_xml(media_type(headers)):
        try:
            orjson.loads(body)
            return body
        except orjson.JSONDecodeError:
            pass
    return orjson.dumps(parse(body, headers.get("content-type", "")))


def headers_of(receipt: Receipt) -> dict[str, str]:
    """The headers of a receipt, by their lower-case names."""
    headers: dict[str, str] = orjson.loads(bytes(receipt.headers))
    return headers


def body_of(receipt: Receipt) -> bytes:
    """The body of a receipt without its compression; what cannot be expanded stays as it came."""
    try:
        return expanded(bytes(receipt.body), headers_of(receipt), MAX_BODY_BYTES)
    except (BodyTooLarge, BodyUnreadable):
        return bytes(receipt.body)


def call_of(receipt: Receipt, url: str) -> Call:
    """The call that a receipt is of, its body expanded. `url` is its source's."""
    return Call(
        method=receipt.method,
        url=f"{url}?{receipt.query}" if receipt.query else url,
        headers=headers_of(receipt),
        body=body_of(receipt),
        received_at=receipt.received_at.timestamp(),
    )


def document_of(call: Call, *, type_: str, provider: str, data: Any) -> dict[str, Any]:
    """What a route's condition is asked of: `type`, `provider`, `method`, `headers` by lower-case
    name, `query`, and `data`, the payload after its transformation."""
    return {
        "type": type_,
        "provider": provider,
        "method": call.method,
        "headers": dict(call.headers),
        "query": call.query,
        "data": data,
    }


class _InMemory(MemoryFileUploadHandler):
    """Takes files of any size: the whole body is in memory anyway."""

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        self.activated = True


def _form(body: bytes, content_type: str) -> dict[str, Any] | None:
    pairs = form_pairs(body, content_type)
    return _mapping(pairs) if pairs else None


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, list[Any]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


def _multipart(body: bytes, content_type: str) -> dict[str, Any] | None:
    meta = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    try:
        fields, files = MultiPartParser(meta, BytesIO(body), [_InMemory()], "utf-8").parse()
    except (MultiPartParserError, SuspiciousOperation, ValueError):
        return None
    pairs: list[tuple[str, Any]] = [
        (name, value) for name, values in fields.lists() for value in values
    ]
    for name, uploads in files.lists():
        for upload in uploads:
            content = upload.read()
            pairs.append(
                (
                    name,
                    {
                        "filename": upload.name or "",
                        "content_type": upload.content_type or "",
                        "size": len(content),
                        "base64": base64.b64encode(content).decode(),
                    },
                )
            )
    return _mapping(pairs)


def _xml(body: bytes) -> Any:
    try:
        found = xmltodict.parse(body)
        orjson.dumps(found)  # deeper than this writes is no use to anybody
    except Exception:  # expat's own, and whatever a stranger's encoding makes of it
        return None
    return found


def _text(body: bytes) -> dict[str, str]:
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}
