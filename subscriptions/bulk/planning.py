"""A job is planned: from a file, or for the subscriptions that are selected now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from subscriptions.bulk.files import MAX_LINES, Line, read_lines
from subscriptions.bulk.jobs import call_to_run, record_change
from subscriptions.bulk.models import BulkJob, BulkLine
from subscriptions.bulk.selection import Selection
from subscriptions.errors import BulkNotAcceptable
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock
from webhooks_project.lib.actor import current_actor

Action = BulkJob.Action
Status = BulkJob.Status

MAX_TOGETHER: Final = 500  # lines of an all-or-nothing job: one transaction that writers wait for


def plan_import(
    *,
    account: Account,
    content: bytes,
    file_format: str,
    is_dry_run: bool = False,
    is_all_or_nothing: bool = False,
) -> BulkJob:
    """Start to create and change subscriptions as a file says, or to show what that would do.

    Raises FileNotAcceptable and BulkNotAcceptable.
    """
    lines = read_lines(content, file_format)
    present = set(
        Subscription.objects.filter(account=account).values_list("pk", flat=True)
        if any("id" in line.document for line in lines)
        else ()
    )
    return _plan(
        account,
        Action.IMPORT,
        lines=[(line, _key_of(line, present)) for line in lines],
        settings={"format": file_format},
        is_dry_run=is_dry_run,
        is_all_or_nothing=is_all_or_nothing,
    )


def _key_of(line: Line, present: set[UUID]) -> UUID | None:
    key = UUID(line.document["id"]) if "id" in line.document else None
    return key if key in present else None


def plan_action(
    *,
    account: Account,
    action: BulkJob.Action,
    selection: Selection,
    settings: dict[str, Any] | None = None,
    is_dry_run: bool = False,
    is_all_or_nothing: bool = False,
) -> BulkJob:
    """Start to do something to the subscriptions that are selected now, or to show it.

    `settings` are, where the action has them: reason; grace_seconds; url_from, url_to,
    keep_credentials, labels (None takes one away), channels_add, channels_remove.
    Raises BulkNotAcceptable.
    """
    if not selection.as_json():
        raise BulkNotAcceptable("an empty filter selects nothing; name at least the statuses")
    ids = selection.ids_in(account, MAX_LINES + 1)
    if len(ids) > MAX_LINES:
        raise BulkNotAcceptable(f"the filter selects more than {MAX_LINES:,} subscriptions")
    return _plan(
        account,
        action,
        lines=[(Line(number, {}), key) for number, key in enumerate(ids, 1)],
        selection=selection.as_json(),
        settings=settings or {},
        is_dry_run=is_dry_run,
        is_all_or_nothing=is_all_or_nothing,
    )


@transaction.atomic
def _plan(
    account: Account,
    action: BulkJob.Action,
    *,
    lines: Sequence[tuple[Line, UUID | None]],
    is_all_or_nothing: bool,
    **asked: Any,
) -> BulkJob:
    if is_all_or_nothing and len(lines) > MAX_TOGETHER:
        raise BulkNotAcceptable(
            f"all or nothing is possible for up to {MAX_TOGETHER:,} subscriptions at once"
        )
    actor = current_actor.get()
    now = clock.now()
    job = BulkJob.objects.create(
        account=account,
        action=action,
        status=Status.RUNNING,
        is_all_or_nothing=is_all_or_nothing,
        line_count=len(lines),
        actor={
            "kind": actor.kind,
            "id": actor.id,
            "label": actor.label[:200],
            "address": actor.address,
            "session": actor.session,
            "agent": actor.agent,
        },
        created_at=now,
        started_at=now,
        **asked,
    )
    BulkLine.objects.bulk_create(
        (
            BulkLine(
                job=job,
                number=line.number,
                subscription_id=key,
                document=line.document,
                unreadable=line.unreadable,
            )
            for line, key in lines
        ),
        batch_size=500,
    )
    marks = {name: value for name, value in job.selection.items() if name != "ids"}
    record_change(job, "planned" if job.is_dry_run else "started", selection=marks)
    call_to_run()
    return job
