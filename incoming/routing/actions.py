"""What a route does with a receipt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from incoming.models import Route


@dataclass(frozen=True, slots=True)
class Publish:
    """An event of a type; its data is the following's."""

    route: Route
    event_type: str


@dataclass(frozen=True, slots=True)
class Handle:
    """A run of a handler. `route` is None where the handler runs for all such receipts."""

    handler: str
    route: Route | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """A change of the integration's state: values by key, None where a key goes."""

    route: Route
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notify:
    """A message to the route's recipients."""

    route: Route
    title: str
    text: str


Action = Publish | Handle | Update | Notify
