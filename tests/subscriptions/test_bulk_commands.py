"""`import_subscriptions` and `export_subscriptions`."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from monitoring.models import AuditEntry
from subscriptions.models import BulkJob, SigningSecret, Subscription
from tests.factories import make_account, make_subscription

pytestmark = pytest.mark.django_db

URL = "http://127.0.0.1:8009/hook"


def run(name: str, *args: Any, **options: Any) -> list[str]:
    out = StringIO()
    call_command(name, *args, stdout=out, **options)
    return out.getvalue().splitlines()


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_says_what_became_of_each_line(tmp_path: Path) -> None:
    account = make_account(slug="shop")
    same = make_subscription(account, name="same")
    file = written(
        tmp_path / "a.csv",
        f"id,name,url,event_types\n,new,{URL},a\n{same.pk},changed,{same.url},*\n",
    )
    lines = run("import_subscriptions", file, account="shop")
    job = BulkJob.objects.get()
    assert lines == [
        "line 2: created; event_types, name, url",
        "line 3: changed; name",
        f"1 created, 1 changed, 0 unchanged, 0 refused; job {job.pk}",
    ]
    assert Subscription.objects.count() == 2
    labels = set(AuditEntry.objects.values_list("actor_kind", "actor_label"))
    assert labels == {("command", "import_subscriptions")}


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    make_account(slug="shop")
    file = written(tmp_path / "a.csv", f"name,url,event_types\nnew,{URL},a\n")
    lines = run("import_subscriptions", file, account="shop", dry_run=True)
    assert lines[0] == "line 2: created; event_types, name, url"
    assert "had it been meant" in lines[-1]
    assert Subscription.objects.count() == 0


@pytest.mark.parametrize("together", [False, True])
def test_refused_lines_are_said_and_end_with_4(tmp_path: Path, together: bool) -> None:
    make_account(slug="shop")
    text = f'[{{"name": "a", "url": "{URL}", "event_types": ["a"]}}, {{"name": "b"}}]'
    file = written(tmp_path / "a.json", text)
    out = StringIO()
    with pytest.raises(CommandError, match="1 lines refused") as caught:
        call_command(
            "import_subscriptions", file, account="shop", all_or_nothing=together, stdout=out
        )
    assert caught.value.returncode == 4
    assert out.getvalue().splitlines()[1] == "line 2: refused; url is needed for a new subscription"
    assert Subscription.objects.count() == (0 if together else 1)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "nam\nx\n", "line 1: there is no column 'nam'"),
        ("a.txt", "name\nx\n", "name the file's --format"),
    ],
)
def test_a_file_that_cannot_be_read_ends_with_2(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    make_account(slug="shop")
    with pytest.raises(CommandError, match=message) as caught:
        run("import_subscriptions", written(tmp_path / name, text), account="shop")
    assert caught.value.returncode == 2
    with pytest.raises(CommandError) as caught:
        run("import_subscriptions", tmp_path / "none.csv", account="shop")
    assert caught.value.returncode == 2


def test_shows_new_secrets_where_it_is_asked_to(tmp_path: Path) -> None:
    make_account(slug="shop")
    file = written(tmp_path / "a.txt", f"name,url,event_types\nnew,{URL},a\n")
    lines = run("import_subscriptions", file, account="shop", format="csv", show_secrets=True)
    secret = SigningSecret.objects.get()
    assert f"line 2: {secret.subscription_id} {secret.secret}" in lines


@pytest.mark.parametrize("form", ["csv", "json"])
def test_what_is_exported_is_imported_unchanged(tmp_path: Path, form: str) -> None:
    account = make_account(slug="shop")
    make_subscription(account, name="+1", description="a\nb")
    make_subscription(account, status="archived")
    make_subscription()
    path = tmp_path / f"out.{form}"
    assert run("export_subscriptions", path, account="shop") == ["1 subscriptions written"]
    lines = run("import_subscriptions", path, account="shop")
    assert lines[-1].startswith("0 created, 0 changed, 1 unchanged, 0 refused")
    piped = run("export_subscriptions", account="shop", format=form, status=["archived"])
    assert len([line for line in piped if "archived" in line]) == 1
