"""Writing a value where a locator will find it: how a call of a third party is imitated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote_plus, urlencode
from xml.sax.saxutils import escape

import orjson

from incoming.providers.call import Call
from incoming.providers.locator import header_name, locate

FORM_TYPE: Final = "application/x-www-form-urlencoded"
_XML_TYPE: Final = "text/xml; charset=utf-8"
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


def place(call: Call, locator: str, value: str) -> Call:
    """The call with this value where the locator leads; as it is where it leads nowhere.

    Of a template only the places that are still empty are filled: with the parts of the value
    where it has the template's shape, else with the value in the first of them.
    """
    if "{" in locator:
        return _fill(call, locator, value)
    kind, _, name = locator.partition(":")
    match kind:
        case "header":
            return replace(call, headers={**call.headers, header_name(name): value})
        case "query":
            joint = "&" if "?" in call.url else "?"
            return replace(call, url=f"{call.url}{joint}{quote_plus(name)}={quote_plus(value)}")
        case "form":
            kept = [pair for pair in call.form_pairs or () if pair[0] != name]
            return _with_body(call, urlencode([*kept, (name, value)]).encode(), FORM_TYPE)
        case "xml":
            return _with_body(call, _with_element(call.body, name, value), _XML_TYPE)
        case "json" if call.json is not None:
            payload = put(call.json, name.split("."), value)
            return replace(call, body=orjson.dumps(payload))
    return call


def put(payload: Any, path: Sequence[str], value: Any) -> Any:
    """The payload with the value at the path; lists where an empty one has `*` or a number there.
    What is there and of another kind stays as it is."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if step == "*" or step.isdecimal():
        items = payload or [{}]
        if not isinstance(items, list):
            return payload
        chosen = range(len(items)) if step == "*" else [int(step)]
        return [put(item, rest, value) if n in chosen else item for n, item in enumerate(items)]
    if payload and not isinstance(payload, dict):
        return payload
    mapping = payload or {}
    return {**mapping, step: put(mapping.get(step, {}), rest, value)}


def _with_body(call: Call, body: bytes, content_type: str) -> Call:
    return replace(call, body=body, headers={**call.headers, "content-type": content_type})


def _with_element(body: bytes, name: str, value: str) -> bytes:
    """The XML with the value in its empty element of that name; that element alone where the body
    has none."""
    empty, full = f"<{name}></{name}>".encode(), f"<{name}>{escape(value)}</{name}>".encode()
    return body.replace(empty, full, 1) if empty in body else full


def _fill(call: Call, template: str, value: str) -> Call:
    names = _PLACEHOLDER.findall(template)
    empty = [name for name in names if not locate(call, name)]
    parts = _parts(template, value) if empty == names else None
    for name, part in zip(empty, parts or [value, *["sample"] * len(names)], strict=False):
        call = place(call, name, part)
    return call


def _parts(template: str, value: str) -> list[str] | None:
    """The values that make the template give this one; None where it is of another shape."""
    pieces = _PLACEHOLDER.split(template)
    pattern = "".join("(.+?)" if n % 2 else re.escape(piece) for n, piece in enumerate(pieces))
    found = re.fullmatch(pattern, value)
    return None if found is None else list(found.groups())
