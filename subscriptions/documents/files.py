"""A document as it was given, and its values as JSON has them, in bounds."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
import yaml

from subscriptions.errors import DocumentNotAcceptable

if TYPE_CHECKING:
    from yaml import SafeLoader
else:
    from yaml import CSafeLoader as SafeLoader

MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024
MAX_YAML_BYTES: Final = 4 * 1024 * 1024  # its parser is a hundred times slower than that of JSON
MAX_VALUES: Final = 3_000_000  # in one document, each alias of YAML written out
MAX_LEVELS: Final = 200  # of nested objects and arrays


@dataclass(frozen=True)
class File:
    """A document as it was given; `name` may be a path."""

    name: str
    content: bytes


def parse(file: File) -> Any:
    """The document's value. Raises DocumentNotAcceptable."""
    content = file.content.removeprefix(b"\xef\xbb\xbf")
    if len(content) > MAX_DOCUMENT_BYTES:
        raise DocumentNotAcceptable(f"it has more than {MAX_DOCUMENT_BYTES:,} bytes")
    is_yaml = file.name.lower().endswith((".yaml", ".yml"))
    if not is_yaml:
        try:
            return _Plain().made_of(orjson.loads(content), 0)
        except orjson.JSONDecodeError as error:
            if file.name.lower().endswith(".json") or content.lstrip()[:1] in (b"{", b"["):
                raise DocumentNotAcceptable(f"it is no JSON: {error}") from error
    return _from_yaml(content)


class _Loader(SafeLoader):
    """YAML 1.2's core types: no dates, and `on` and `no` are texts."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as its base class declares it


for _tag, _form, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$",
     list("-+.0123456789")),
):  # fmt: skip
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_form), _first)


def _from_yaml(content: bytes) -> Any:
    if len(content) > MAX_YAML_BYTES:
        raise DocumentNotAcceptable(f"as YAML it has more than {MAX_YAML_BYTES:,} bytes")
    try:
        value = yaml.load(content, Loader=_Loader)  # noqa: S506 - a safe loader with fewer types
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DocumentNotAcceptable(f"it is no YAML: {str(error)[:300]}") from error
    return _Plain().made_of(value, 0)


class _Plain:
    """Values as JSON has them, each alias of YAML written out, in bounds."""

    def __init__(self) -> None:
        self.count = 0

    def made_of(self, value: Any, depth: int) -> Any:
        self.count += 1
        if self.count > MAX_VALUES:
            raise DocumentNotAcceptable(f"it has more than {MAX_VALUES:,} values")
        if depth > MAX_LEVELS:
            raise DocumentNotAcceptable(f"it is nested in more than {MAX_LEVELS} levels")
        if isinstance(value, dict):
            return {
                key if isinstance(key, str) else _key(key): self.made_of(item, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.made_of(item, depth + 1) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            raise DocumentNotAcceptable("it has a number that JSON has not")
        if value is None or isinstance(value, str | bool | float):
            return value
        if isinstance(value, int) and abs(value) < 2**63:
            return value
        raise DocumentNotAcceptable(f"it has a value that JSON has not: {str(value)[:50]}")


def _key(value: Any) -> str:
    """A key that is no text, such as a status code."""
    if isinstance(value, int | float | bool) or value is None:
        return orjson.dumps(value).decode()
    raise DocumentNotAcceptable(f"it has a key that JSON has not: {str(value)[:50]}")
