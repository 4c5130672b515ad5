from __future__ import annotations

from django.urls import NoReverseMatch

from webhooks_project.admin.values import EMPTY, link, page_of


def object_link(object_type: str, object_id: str) -> str:
    """A link to what an entry is about, where the console has a page for it."""
    if not object_type:
        return EMPTY
    text = f"{object_type.rpartition('.')[2]} {object_id}"
    try:
        return link(page_of(object_type, object_id), text)
    except NoReverseMatch:
        return text
