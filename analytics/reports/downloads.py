"""A kept file as the answer to a request: always saved, never opened within the hub's pages."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.http import content_disposition_header

from analytics.models import ReportFile
from analytics.models.reports import Format
from analytics.reports.files import TYPES


def download(file: ReportFile) -> HttpResponse:
    return HttpResponse(
        bytes(file.content),
        content_type=TYPES[Format(file.format)],
        headers={
            "Content-Disposition": content_disposition_header(True, file.name),
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
            "Cache-Control": "private, no-store",
        },
    )
