"""The public catalogue of an account's event types: no login, no script, and nothing from others.

An account has one where it says so. It shows the public types that are not archived, and of a
successor only what is public too.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, Concatenate, Final, ParamSpec
from uuid import UUID

import orjson
from django.core.cache import cache
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import get_template, render_to_string
from django.views.decorators.http import require_safe

from outgoing.payload import envelope, signed_headers
from subscriptions.exports import data_schema, openapi_of
from subscriptions.models import EventSchema, EventType
from subscriptions.properties import MAX_ROWS, Row, property_rows, sample_of
from webhooks_project.accounts.models import Account
from webhooks_project.lib.signing import PREFIX, key_of

MAX_TYPES: Final = 1_000  # on one page; the search finds the rest
MAX_QUERY: Final = 100  # characters of a search
SHOWN_EXAMPLES: Final = 5
SHOWN_CHARACTERS: Final = 64 * 1024  # of one schema or example; its own address has the whole
CACHE_SECONDS: Final = 60  # how long what was public may still be seen
OTHERS: Final = "Events"  # the heading of types without a group

# What the sample delivery is signed with, so that a reader can try code on it.
SAMPLE_SECRET: Final = PREFIX + base64.b64encode(b"the secret of the sample webhook").decode()
SAMPLE_ID: Final = "evt_0192a4c0000070008000000000000000"

LANGUAGES: Final = {
    "python": "Python",
    "javascript": "JavaScript (Node.js)",
    "ruby": "Ruby",
    "go": "Go",
    "php": "PHP",
}
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

_P = ParamSpec("_P")
_Page = Callable[Concatenate[HttpRequest, Account, _P], HttpResponse]


@dataclass(frozen=True)
class Sample:
    """A delivery as it is sent: its header lines and its body."""

    headers: list[str]
    body: str
    is_made_up: bool


def public(page: _Page[_P]) -> Callable[Concatenate[HttpRequest, str, _P], HttpResponse]:
    """Give the page the account of its slug, if that has a public catalogue; else 404."""

    @require_safe
    @wraps(page)
    def view(request: HttpRequest, slug: str, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponse:
        account = Account.objects.filter(slug=slug, has_public_catalogue=True).first()
        if account is None:
            raise Http404("there is no public catalogue of that name")
        response = page(request, account, *args, **kwargs)
        response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response["Referrer-Policy"] = "same-origin"
        response["Cache-Control"] = f"public, max-age={CACHE_SECONDS}"
        return response

    return view  # type: ignore[return-value]  # the names of its arguments do not count


@public
def catalogue_page(request: HttpRequest, account: Account) -> HttpResponse:
    """All types by group, or those that a search finds."""
    query = request.GET.get("q", "").replace("\0", "").strip()[:MAX_QUERY]
    found = list(_with_number(_public_types(account, query))[: MAX_TYPES + 1])
    groups: dict[str, list[tuple[EventType, EventType | None]]] = {}
    for row in found[:MAX_TYPES]:
        groups.setdefault(row.group or OTHERS, []).append((row, _shown_successor(row)))
    context = {
        "account": account,
        "query": query,
        "groups": sorted(groups.items()),
        "count": min(len(found), MAX_TYPES),
        "is_cut": len(found) > MAX_TYPES,
    }
    return HttpResponse(render_to_string("catalogue/index.html", context))


@public
def type_page(request: HttpRequest, account: Account, name: str) -> HttpResponse:
    """One type: its versions, one of them in full, and a delivery of it."""
    event_type = _public_type(account, name)
    versions = list(event_type.schemas.defer("schema", "examples", "downgrade"))
    schema = _version(event_type, request.GET.get("version", ""))
    rows, raw = _readable(schema.pk) if schema else ([], "")
    context = {
        "account": account,
        "event_type": event_type,
        "successor": _shown_successor(event_type),
        "versions": versions,
        "schema": schema,
        "is_latest": schema is not None and schema.pk == versions[0].pk,
        "rows": rows,
        "rows_are_cut": len(rows) >= MAX_ROWS,
        "raw": raw,
        "examples": [_shown(item) for item in schema.examples[:SHOWN_EXAMPLES]] if schema else [],
        "sample": sample_delivery(event_type, schema),
        **_verification(),
    }
    return HttpResponse(render_to_string("catalogue/type.html", context))


@public
def verify_page(request: HttpRequest, account: Account) -> HttpResponse:
    """How a receiver proves that a call is ours."""
    context = {"account": account, **_verification()}
    return HttpResponse(render_to_string("catalogue/verify.html", context))


@public
def openapi_document(request: HttpRequest, account: Account) -> HttpResponse:
    """The public part of the catalogue as an OpenAPI document."""
    body = cache.get_or_set(
        f"catalogue-openapi:{account.pk}",
        lambda: _json_text(openapi_of(account, public_only=True)),
        CACHE_SECONDS,
    )
    return HttpResponse(body, content_type="application/json")


@public
def schema_document(request: HttpRequest, account: Account, name: str) -> HttpResponse:
    """One version of a type's schema."""
    schema = _version(_public_type(account, name), request.GET.get("version", ""))
    if schema is None:
        raise Http404("the type has no schema")
    return HttpResponse(_json_text(data_schema(schema)), content_type="application/json")


def sample_delivery(event_type: EventType, schema: EventSchema | None) -> Sample:
    """A delivery of an example, or of made-up data, truly signed with SAMPLE_SECRET."""
    occurred_at = event_type.created_at.replace(microsecond=0)
    is_made_up = schema is None or not schema.examples
    if schema is None:
        data: Any = {}
    else:
        data = sample_of(schema.schema) if is_made_up else schema.examples[0]
    body = envelope(type=event_type.name, occurred_at=occurred_at, data=orjson.dumps(data))
    headers = signed_headers(
        message_id=SAMPLE_ID,
        timestamp=int(occurred_at.timestamp()),
        body=body,
        keys=[key_of(SAMPLE_SECRET)],
    )
    return Sample([line for line in headers if line != "Expect:"], body.decode(), is_made_up)


# --- what is public -------------------------------------------------------------------------------


def _public_types(account: Account, query: str = "") -> QuerySet[EventType]:
    found = EventType.objects.filter(account=account, is_public=True, archived_at=None)
    for word in query.split():
        found = found.filter(
            Q(name__icontains=word) | Q(description__icontains=word) | Q(group__icontains=word)
        )
    return found.select_related("successor").order_by("name")


def _with_number(types: QuerySet[EventType]) -> QuerySet[EventType]:
    latest = EventSchema.objects.filter(event_type=OuterRef("pk")).order_by("-version")
    return types.annotate(
        major=Subquery(latest.values("major")[:1]), minor=Subquery(latest.values("minor")[:1])
    )


def _public_type(account: Account, name: str) -> EventType:
    found = _public_types(account).filter(name=name.replace("\0", "")).first()
    if found is None:
        raise Http404("there is no such event type in the catalogue")
    return found


def _shown_successor(event_type: EventType) -> EventType | None:
    found = event_type.successor
    return found if found and found.is_public and found.archived_at is None else None


def _version(event_type: EventType, number: str) -> EventSchema | None:
    """The version of that number; the latest of all for none. Raises Http404."""
    if not number:
        return event_type.schemas.first()
    major, _, minor = number.partition(".")
    if not (_is_number(major) and _is_number(minor)):
        raise Http404("there is no such version")
    found = event_type.schemas.filter(major=int(major), minor=int(minor)).first()
    if found is None:
        raise Http404("there is no such version")
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


# --- what is shown --------------------------------------------------------------------------------


@lru_cache(maxsize=128)
def _readable(key: UUID) -> tuple[list[Row], str]:
    """A schema as rows and as text."""
    # Its row never changes, and a stranger may ask for it as often as they like.
    schema = EventSchema.objects.get(pk=key)
    return property_rows(schema.schema), _shown(data_schema(schema))


@lru_cache(maxsize=1)
def _verification() -> dict[str, Any]:
    texts = {
        title: get_template(f"catalogue/verify/{name}.txt").template.source  # type: ignore[attr-defined]
        for name, title in LANGUAGES.items()
    }
    return {"languages": texts, "sample_secret": SAMPLE_SECRET}


def _shown(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()[:SHOWN_CHARACTERS]


def _json_text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2)
