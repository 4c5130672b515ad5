"""The command that says whether the audit log is what was written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command

from monitoring.anchors import give_out_anchors, head_of_anchors
from monitoring.chain import GENESIS, hash_of
from monitoring.models import AuditAnchor, AuditEntry
from monitoring.protection import unprotect
from tests.factories import make_account
from tests.monitoring.forging import make_chain, without_triggers
from webhooks_project.accounts.models import Account
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db


def verify(*arguments: Any, code: int = 0) -> list[Any]:
    """What the command says with --json, and that it ends with the code."""
    out = io.StringIO()
    if code:
        with pytest.raises(CommandError) as raised:
            call_command("verify_audit_log", *map(str, arguments), "--json", stdout=out)
        assert raised.value.returncode == code
    else:
        call_command("verify_audit_log", *map(str, arguments), "--json", stdout=out)
    return [orjson.loads(line) for line in out.getvalue().splitlines()]


def said(lines: list[Any]) -> list[tuple[str, str, int]]:
    return [(line["account"], line["kind"], line["sequence"]) for line in lines if "kind" in line]


def write_anew(account: Account) -> None:
    """Forge the whole chain, so that it holds in itself."""
    with without_triggers():
        previous = GENESIS
        for entry in AuditEntry.objects.filter(account=account).order_by("sequence"):
            entry.actor_label, entry.previous_hash = "eve", previous
            entry.hash = previous = hash_of(entry)
            entry.save()


def test_says_that_every_chain_holds() -> None:
    one, other = make_chain(length=3), make_chain(length=2)
    make_account()
    give_out_anchors()
    heads = {
        row.account.slug: row.head_hash for row in AuditAnchor.objects.select_related("account")
    }
    lines = verify()
    assert [line for line in lines if line.get("entries")][:2] == [
        {"account": account.slug, "entries": length, "head": heads[account.slug]}
        for account, length in sorted(((one, 3), (other, 2)), key=lambda item: item[0].pk)
    ]
    assert lines[-1] == {
        "accounts": 3, "entries": 5, "breaches": 0, "problems": 0, "anchor": head_of_anchors(),
    }  # fmt: skip


def test_says_which_entries_of_which_account_and_goes_on() -> None:
    one, other, whole = make_chain(length=6), make_chain(length=4), make_chain()
    with without_triggers():
        AuditEntry.objects.filter(account=one, sequence=2).update(action="forged")
        AuditEntry.objects.filter(account=one, sequence=4).delete()
        AuditEntry.objects.filter(account=other, sequence=2).update(sequence=99)
        AuditEntry.objects.filter(account=other, sequence=3).update(sequence=2)
        AuditEntry.objects.filter(account=other, sequence=99).update(sequence=3)
    lines = verify(code=1)
    assert sorted(said(lines)) == sorted([
        (one.slug, "changed", 2), (one.slug, "removed", 4),
        (other.slug, "reordered", 2), (other.slug, "reordered", 3),
    ])  # fmt: skip
    assert lines[-1]["breaches"] == 4
    assert said(verify("--account", other.slug, code=1)) == [
        (other.slug, "reordered", 2), (other.slug, "reordered", 3),
    ]  # fmt: skip
    assert said(verify("--account", whole.slug)) == []


def test_an_anchor_of_the_database_notices_a_cut_tail() -> None:
    account = make_chain(length=5)
    give_out_anchors()
    with without_triggers():
        AuditEntry.objects.filter(account=account, sequence__gt=3).delete()
    lines = verify(code=1)
    assert said(lines) == [(account.slug, "tail_cut", 4)]
    assert lines[0]["until"] == 5


def test_an_anchor_kept_outside_notices_what_the_database_cannot(tmp_path: Path) -> None:
    account = make_chain(length=5)
    give_out_anchors()
    kept, hub = str(AuditAnchor.objects.get()), head_of_anchors()
    with without_triggers():
        AuditAnchor.objects.all().delete()
        AuditEntry.objects.filter(account=account, sequence=5).delete()
    assert verify()[-1]["problems"] == 0
    assert said(verify("--anchor", kept, code=1)) == [(account.slug, "tail_cut", 5)]
    problems = [line["problem"] for line in verify("--anchor", hub, code=1) if "problem" in line]
    assert problems == ["anchor 1: it was kept and is not there"]
    log = tmp_path / "hub.log"
    log.write_text(f'{{"anchor": "{kept}", "event": "audit anchor"}}\n')
    assert said(verify("--anchors", log, code=1)) == [(account.slug, "tail_cut", 5)]


def test_an_anchor_notices_a_chain_written_anew() -> None:
    account = make_chain(length=3)
    give_out_anchors()
    kept = str(AuditAnchor.objects.get())
    write_anew(account)
    assert said(verify(code=1)) == [(account.slug, "rewritten", 3)]
    with without_triggers():  # and its anchor with it
        head = AuditEntry.objects.get(account=account, sequence=3).hash
        AuditAnchor.objects.update(head_hash=head)
    lines = verify("--anchor", kept, code=1)
    assert (account.slug, "rewritten", 3) in said(lines)
    assert "anchor 1: its fields do not give its hash" in [line.get("problem") for line in lines]


def test_an_account_that_is_gone_is_missed() -> None:
    key = new_id()
    lines = verify("--anchor", f"{key}:3:{'1' * 64}", code=1)
    assert lines[0] == {"problem": f"account {key} is not there"}


def test_a_missing_trigger_is_said() -> None:
    unprotect()
    problems = [line["problem"] for line in verify(code=1) if "problem" in line]
    assert "the trigger monitoring_auditentry_no_" in problems[0]


def test_says_it_in_words_too() -> None:
    account = make_chain(length=3)
    with without_triggers():
        AuditEntry.objects.filter(account=account, sequence=2).update(after="[]")
    out = io.StringIO()
    with pytest.raises(CommandError, match="the audit log is not what was written"):
        call_command("verify_audit_log", stdout=out)
    assert out.getvalue().splitlines() == [
        f"{account.slug} entry 2: changed: its fields do not give its hash",
        "3 entries of 1 account, 1 breach; no anchor was given out yet",
    ]


@pytest.mark.parametrize("name", ["audit.jsonl", "audit.csv"])
def test_an_export_is_checked_without_the_database(
    name: str, tmp_path: Path, django_assert_num_queries: Any
) -> None:
    account = make_chain(length=3)
    path = tmp_path / name
    call_command("export_audit_log", str(path), "--account", account.slug, stdout=io.StringIO())
    head = AuditEntry.objects.filter(account=account).latest("sequence")
    assert head.action == "audit_log.exported"
    assert (head.actor_kind, head.actor_label) == ("command", "export_audit_log")
    with django_assert_num_queries(0):
        assert verify("--file", path) == [
            {"account": str(account.pk), "entries": 4, "head": head.hash}
        ]
        kept = f"{account.pk}:4:{head.hash}"
        assert said(verify("--file", path, "--anchor", kept)) == []
        other = f"{account.pk}:4:{'1' * 64}"
        assert said(verify("--file", path, "--anchor", other, code=1)) == [
            (str(account.pk), "rewritten", 4)
        ]
        path.write_bytes(path.read_bytes().replace(b"thing.changed2", b"thing.changed9"))
        assert said(verify("--file", path, code=1)) == [(str(account.pk), "changed", 2)]


def test_what_makes_no_sense_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xff\xfe nonsense")
    empty = tmp_path / "empty.log"
    empty.write_text("nothing")
    for arguments in (
        ("--file", path), ("--file", tmp_path / "none"), ("--anchors", empty),
        ("--anchors", tmp_path / "none"), ("--account", "x"),
    ):  # fmt: skip
        assert verify(*arguments, code=2) == []
    with pytest.raises(CommandError, match="is no anchor"):
        call_command("verify_audit_log", "--anchor", "x")
    with pytest.raises(CommandError, match="there is no account x"):
        call_command("verify_audit_log", "--account", "x")
    with pytest.raises(CommandError, match="format"):
        call_command("export_audit_log", "x.txt", "--account", "x")


def test_an_export_goes_to_standard_output() -> None:
    account, out = make_chain(length=2), io.StringIO()
    call_command("export_audit_log", "--account", account.slug, stdout=out)
    assert [orjson.loads(line)["record"] for line in out.getvalue().splitlines()] == [
        "head", "entry", "entry", "entry", "end",
    ]  # fmt: skip
