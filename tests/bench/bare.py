"""The bare views that ingest and publishing are measured against, served beside the hub's own
addresses.

What a person would write in ten minutes: check the HMAC, parse, insert one row with a key that the
database makes. It keeps no headers, knows no duplicates and has one index. That for publishing
asks nobody who they are.
"""

from __future__ import annotations

import hmac
import json
from typing import ClassVar, Final

from django.db import connection, models
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

SECRET: Final = "a-secret-of-the-bench"
SIGNATURE_HEADER: Final = "X-Hub-Signature-256"


class Row(models.Model):
    """One webhook. Lives in no app: the bench makes the table itself."""

    action = models.CharField(max_length=64)
    body = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "bench"
        db_table = "bench_row"
        indexes: ClassVar = [models.Index(fields=["-created_at"], name="bench_row_by_time")]

    def __str__(self) -> str:
        return f"{self.action} {self.pk}"


def make_table() -> None:
    """Make the table, where it is not there yet."""
    if Row._meta.db_table not in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(Row)


def signature_of(body: bytes) -> str:
    """The signature header's value, as GitHub makes it."""
    return "sha256=" + hmac.digest(SECRET.encode(), body, "sha256").hex()


@csrf_exempt
def receive(request: HttpRequest) -> HttpResponse:
    """Take one webhook."""
    body = request.body
    if not hmac.compare_digest(request.headers.get(SIGNATURE_HEADER, ""), signature_of(body)):
        return HttpResponse(status=401)
    payload = json.loads(body)
    row = Row.objects.create(action=payload["action"], body=body.decode())
    return JsonResponse({"status": "accepted", "row": row.pk})


@csrf_exempt
def publish(request: HttpRequest) -> HttpResponse:
    """Take one event."""
    payload = json.loads(request.body)
    row = Row.objects.create(action=payload["type"], body=json.dumps(payload["data"]))
    return JsonResponse({"row": row.pk}, status=201)


urlpatterns = [
    path("bare", receive),
    path("bare-publish", publish),
    path("", include("webhooks_project.urls")),
]
