"""Many subscriptions at once, at the console: shown first, then started."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from subscriptions.bulk.carrying import run_jobs
from subscriptions.bulk.planning import plan_action
from subscriptions.bulk.selection import Selection
from subscriptions.models import BulkJob, SigningSecret, Subscription
from tests.factories import make_account, make_subscription, make_user
from webhooks_project.accounts.models import Membership, Role
from webhooks_project.admin.values import list_of, page_of

pytestmark = pytest.mark.django_db

LIST = "/admin/subscriptions/subscription/"
URL = "http://127.0.0.1:8009/hook"


def upload(name: str, content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def panel_of(console: Client, job: BulkJob) -> Any:
    return console.get(page_of("subscriptions.bulkjob", job.pk)).context["panels"][0]


def press(console: Client, job: BulkJob, name: str) -> Any:
    path = page_of("subscriptions.bulkjob", job.pk).replace("/change/", f"/{name}/")
    return console.post(path, follow=True)


def test_a_file_is_shown_and_then_imported(console: Client) -> None:
    account = make_account()
    content = f"name,url,event_types\n<b>new</b>,{URL},a\nbad,ftp://x,a\n".encode()
    answer = console.post(
        f"{LIST}import/", {"account": account.pk, "file": upload("a.csv", content)}
    )
    job = BulkJob.objects.get()
    assert answer.url == page_of("subscriptions.bulkjob", job.pk)
    assert (job.is_dry_run, job.requested_by) == (True, "operator")
    run_jobs(10)
    panel = panel_of(console, job)
    assert panel.title == "What it would do"
    assert [row[0] for row in panel.rows] == [3, 2]  # what is refused comes first
    page = console.get(page_of("subscriptions.bulkjob", job.pk)).content.decode()
    assert "<b>new</b>" not in page
    assert Subscription.objects.count() == 0

    press(console, job, "start")
    run_jobs(10)
    assert panel_of(console, job).title == "What it did"
    secret = SigningSecret.objects.get().secret
    assert secret in press(console, job, "show-secrets").content.decode()
    assert secret not in press(console, job, "show-secrets").content.decode()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"nam\nx\n", "line 1: there is no column &#x27;nam&#x27;"),
        ("a.txt", b"name\nx\n", "must end in .json or .csv"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_so(
    console: Client, name: str, content: bytes, message: str
) -> None:
    account = make_account()
    answer = console.post(f"{LIST}import/", {"account": account.pk, "file": upload(name, content)})
    assert message in answer.content.decode()
    assert BulkJob.objects.count() == 0


def test_many_are_moved_by_filter(console: Client) -> None:
    account = make_account()
    moved = make_subscription(account, url="http://127.0.0.1:8001/a", labels={"team": "x"})
    other = make_subscription(account, url="http://127.0.0.1:8001/b")
    assert console.get(f"{LIST}change-many/").status_code == 200
    console.post(
        f"{LIST}change-many/",
        {
            "account": account.pk,
            "action": "move",
            "labels": '{"team": "x"}',
            "url_from": "http://127.0.0.1:8001",
            "url_to": "http://127.0.0.1:8002",
            "set_labels": '{"team": null, "moved": "yes"}',
            "channels_add": "eu\nus",
        },
    )
    job = BulkJob.objects.get()
    run_jobs(10)
    press(console, job, "start")
    run_jobs(10)
    moved.refresh_from_db()
    other.refresh_from_db()
    assert (moved.url, moved.labels) == ("http://127.0.0.1:8002/a", {"moved": "yes"})
    assert moved.channels == ["eu", "us"]
    assert other.url == "http://127.0.0.1:8001/b"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"action": "pause"}, "an empty filter selects nothing"),
        ({"action": "pause", "labels": "[1]"}, "Must be texts by name."),
        ({"action": "move", "url_from": "a", "event_type": "a"}, "Both beginnings are needed."),
    ],
)
def test_refuses_what_is_no_job(console: Client, fields: dict[str, str], message: str) -> None:
    answer = console.post(f"{LIST}change-many/", {"account": make_account().pk, **fields})
    assert message in answer.content.decode()
    assert BulkJob.objects.count() == 0


@pytest.mark.parametrize(
    ("action", "status"),
    [("pause", "paused"), ("disable", "disabled"), ("archive", "archived")],
)
def test_chosen_rows_are_shown_and_then_turned(console: Client, action: str, status: str) -> None:
    account = make_account()
    rows = [make_subscription(account) for _ in range(2)]
    left = make_subscription(account)
    answer = console.post(
        list_of("subscriptions.subscription"),
        {"action": f"{action}_selected", "_selected_action": [row.pk for row in rows]},
    )
    job = BulkJob.objects.get()
    assert answer.url == page_of("subscriptions.bulkjob", job.pk)
    run_jobs(10)
    assert set(Subscription.objects.values_list("status", flat=True)) == {"active"}
    press(console, job, "start")
    run_jobs(10)
    turned = Subscription.objects.filter(status=status).values_list("pk", flat=True)
    assert set(turned) == {row.pk for row in rows}
    left.refresh_from_db()
    assert left.status == "active"


def test_rows_of_several_accounts_are_a_job_each(console: Client) -> None:
    rows = [make_subscription(), make_subscription()]
    answer = console.post(
        list_of("subscriptions.subscription"),
        {"action": "rotate_selected", "_selected_action": [row.pk for row in rows]},
    )
    assert answer.url == list_of("subscriptions.bulkjob")
    assert set(BulkJob.objects.values_list("account", flat=True)) == {
        row.account_id for row in rows
    }


def test_a_developer_changes_many_but_pauses_none() -> None:
    account = make_account()
    user = make_user(is_staff=True)
    Membership.objects.create(account=account, user=user, role=Role.DEVELOPER)
    client = Client()
    client.force_login(user)
    form = {"account": account.pk, "statuses": ["active"]}
    assert client.post(f"{LIST}change-many/", {**form, "action": "pause"}).status_code == 403
    assert BulkJob.objects.count() == 0
    assert client.post(f"{LIST}change-many/", {**form, "action": "archive"}).status_code == 302
    assert BulkJob.objects.get().account == account
    foreign = {**form, "account": make_account().pk, "action": "archive"}
    assert client.post(f"{LIST}change-many/", foreign).status_code == 200
    assert BulkJob.objects.count() == 1


def test_a_viewer_has_neither_page() -> None:
    account = make_account()
    user = make_user(is_staff=True)
    Membership.objects.create(account=account, user=user, role=Role.VIEWER)
    client = Client()
    client.force_login(user)
    for page in ("import", "change-many"):
        assert client.get(f"{LIST}{page}/").status_code == 403
    assert "change-many" not in client.get(LIST).content.decode()


def test_chosen_rows_are_exported(console: Client) -> None:
    account = make_account()
    chosen, left = make_subscription(account), make_subscription(account)
    answer = console.post(
        list_of("subscriptions.subscription"),
        {"action": "export_selected", "_selected_action": [chosen.pk]},
    )
    text = b"".join(answer).decode()
    assert (str(chosen.pk) in text, str(left.pk) in text) == (True, False)
    assert answer["Content-Disposition"] == 'attachment; filename="subscriptions.csv"'


def test_a_jobs_lines_are_a_file_for_those_who_may_look(console: Client) -> None:
    subscription = make_subscription()
    job = plan_action(
        account=subscription.account,
        action=BulkJob.Action.PAUSE,
        selection=Selection(statuses=("active",)),
    )
    run_jobs(10)
    path = page_of("subscriptions.bulkjob", job.pk).replace("/change/", "/results/")
    assert b"".join(console.get(path)).decode().splitlines()[1] == (
        f'1,{subscription.pk},changed,"{{""status"":[""active"",""paused""]}}",'
    )
    stranger = make_user(is_staff=True)
    client = Client()
    client.force_login(stranger)
    assert client.get(path).status_code == 403
    Membership.objects.create(account=make_account(), user=stranger, role=Role.ADMIN)
    assert client.get(path).status_code == 302
