"""Where a value is in a call, named by a locator, a short string.

    header:NAME      a header, in any case
    json:a.b.0.c     a value in the JSON body; `*` stands for every item of a list
    query:NAME       a parameter of the URL
    form:NAME        a field of a form body
    xml:NAME         the text of the first element of that name; `xml:` alone the root's name
    signature:KEY    an item `KEY=value` of the signature header itself (Stripe's `t=`)

Text with braces is a template of locators, `{json:type}.{json:action}`, and has a value only
where each of them has one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from incoming.providers.call import Call

KINDS: Final = ("header", "json", "query", "form", "xml", "signature")
MAX_NAME_LENGTH: Final = 255  # characters of an external id or an event type that are kept
_MAX_ITEMS: Final = 10_000  # of a list that `*` stands for
_XML_HEAD_BYTES: Final = 64 * 1024  # how much of an XML body is looked at

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_ROOT = re.compile(r"<([A-Za-z_][\w.:-]{0,200})[\s/>]", re.ASCII)


def header_name(name: str) -> str:
    """A header's name as a call has it: a server takes underscores and dashes for one."""
    return name.strip().lower().replace("_", "-")


def check_locator(locator: str) -> None:
    """Raise ValueError where this is neither a locator nor a template of locators."""
    for name in _PLACEHOLDER.findall(locator) if "{" in locator else [locator]:
        kind, separator, _ = name.partition(":")
        if not separator or kind not in KINDS:
            raise ValueError(f"{name!r} is not a locator such as header:x-id or json:data.id")


def locate(call: Call, locator: str, items: Mapping[str, str] | None = None) -> str | None:
    """The value a locator names, as text, or None where the call has none.

    The values that a `*` stands for are joined with commas, each once. Raises ValueError for a
    locator that `check_locator` would refuse.
    """
    if "{" in locator:
        return _fill(call, locator, items)
    kind, _, name = locator.partition(":")
    match kind:
        case "header":
            return call.headers.get(header_name(name))
        case "query":
            return call.query.get(name)
        case "form":
            return call.form.get(name)
        case "signature":
            return (items or {}).get(name)
        case "xml":
            return _xml_text(call.body, name)
        case "json":
            values = [text for found in walk(call.json, name) if (text := as_text(found))]
            return ",".join(dict.fromkeys(values)) if values else None
    raise ValueError(f"unknown locator {locator!r}")


def first(call: Call, locators: tuple[str, ...]) -> str:
    """The first of these that has a value; empty where none has."""
    for locator in locators:
        if value := locate(call, locator):
            return kept(value)
    return ""


def kept(value: object) -> str:
    """A third party's name for something as we keep it; empty where it is no text. Too long a one
    is replaced by its SHA-256, so that two long ids with one beginning stay two."""
    if not isinstance(value, str):
        return ""
    if len(value) <= MAX_NAME_LENGTH:
        return value
    return "sha256:" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def dig(value: Any, path: str) -> Any:
    """What a dotted path leads to, without `*`; None where it leads nowhere."""
    return next(walk(value, path), None)


def walk(value: Any, path: str) -> Iterator[Any]:
    """Everything a dotted path leads to; `*` goes on with each item of a list, 10,000 at most."""
    found = [value]
    for step in path.split("."):
        found = [item for here in found for item in _step(here, step)][:_MAX_ITEMS]
    yield from found


def _step(value: Any, step: str) -> list[Any]:
    if isinstance(value, dict):
        return [value[step]] if step in value else []
    if isinstance(value, list):
        if step == "*":
            return value
        # isdecimal alone is true of other scripts' digits, which int() reads all the same.
        if step.isascii() and step.isdecimal() and len(step) < 6 and int(step) < len(value):
            return [value[int(step)]]
    return []


def as_text(value: Any) -> str | None:
    """A JSON string, number or boolean as JSON writes it; None for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, dict | list):
        return None
    return str(value)


def _fill(call: Call, template: str, items: Mapping[str, str] | None) -> str | None:
    pieces: list[str] = []
    for index, piece in enumerate(_PLACEHOLDER.split(template)):
        value = locate(call, piece, items) if index % 2 else piece
        if value is None:
            return None
        pieces.append(value)
    return "".join(pieces)


def _xml_text(body: bytes, name: str) -> str | None:
    """Read with a pattern, not a parser: there are no entities to expand and nothing to nest."""
    head = body[:_XML_HEAD_BYTES].decode("utf-8", "replace")
    if not name:
        found = _ROOT.search(head)
        return found[1] if found else None
    pattern = rf"<(?:\w+:)?{re.escape(name)}(?:\s[^<>]*)?>([^<]*)<"
    found = re.search(pattern, head, re.ASCII)
    return found[1].strip() if found else None
