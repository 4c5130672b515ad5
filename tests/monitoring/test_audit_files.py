"""The audit log of a period as a file, and what its proof finds."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitoring.anchors import give_out_anchors
from monitoring.audit_files import NotReadable, check_file, written_audit_log
from monitoring.chain import FORMAT, GENESIS, hash_of
from monitoring.journal import record_change
from monitoring.models import AuditAnchor, AuditEntry
from tests.factories import make_account
from tests.monitoring.forging import make_chain, without_triggers
from webhooks_project.accounts.models import Account
from webhooks_project.lib.actor import Actor, current_actor

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, 535_897, tzinfo=UTC)
FORMATS = ["jsonl", "csv"]
HOSTILE = ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "'quoted'", "\t=1", "\r\n=1", "a\nb\r\nc", '"',
           "＝1", "Zoë 🦊", "\u2028", ",;,", "''", "'", " =1", "\x7f\x01", ""]  # fmt: skip


def written(account: Account, file_format: str = "jsonl", **period: Any) -> str:
    period = {"since": None, "until": None} | period
    pieces = written_audit_log(account=account, file_format=file_format, **period)
    return b"".join(pieces).decode()


def breaches(text: str, file_format: str = "jsonl", kept: Any = None) -> list[tuple[str, int]]:
    checked = check_file(io.StringIO(text, newline=""), file_format, kept or {})
    return [(item.kind.value, item.sequence) for item in checked.breaches]


def make_hostile_chain() -> Account:
    account = make_account(name="=1+1")
    for text in HOSTILE:
        current_actor.set(Actor("user", "7", text, agent=text))
        record_change(account_id=account.pk, action="a.b", subject=account, after={"name": text})
    return account


def recipe() -> str:
    text = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    return re.search(r"```python\n(.*?)```", text, re.S).group(1)  # type: ignore[union-attr]


# --- what is written ------------------------------------------------------------------------------


@time_machine.travel(NOW, tick=False)
def test_a_file_is_a_head_the_entries_and_an_end() -> None:
    account = make_chain(length=3)
    give_out_anchors()
    head, *entries, end = [json.loads(line) for line in written(account).splitlines()]
    rows = list(AuditEntry.objects.filter(account=account).order_by("sequence"))
    assert head["record"] == "head"
    assert (head["account"], head["first_sequence"]) == (str(account.pk), 1)
    assert head["previous_hash"] == GENESIS
    assert [entry["hash"] for entry in entries] == [row.hash for row in rows]
    assert [entry["record"] for entry in entries] == ["entry"] * 3
    for entry in entries:
        names = head["fields"][str(entry["format"])]
        assert set(entry) == {*names, "record", "format", "hash"}
    anchor = AuditAnchor.objects.get()
    assert end == {
        "record": "end",
        "count": 3,
        "last_sequence": 3,
        "hash": rows[-1].hash,
        "anchors": [
            {
                "sequence": 3,
                "hash": rows[-1].hash,
                "created_at": "2026-03-14T15:09:26.535897+00:00",
                "number": 1,
                "previous_anchor_hash": GENESIS,
                "anchor_hash": anchor.hash,
            }
        ],
    }


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_period_is_a_run_of_its_entries(file_format: str) -> None:
    account = make_account()
    with time_machine.travel(NOW, tick=False) as traveller:
        # The clock of the node that wrote the fourth was behind.
        for day in (1, 2, 3, 1, 4, 5):
            traveller.move_to(NOW + timedelta(days=day))
            record_change(account_id=account.pk, action=f"day.{day}", subject=account)
    since, until = NOW + timedelta(days=2), NOW + timedelta(days=5)
    text = written(account, file_format, since=since, until=until)
    checked = check_file(io.StringIO(text, newline=""), file_format, {})
    assert (checked.first, checked.last, checked.count, checked.breaches) == (2, 5, 4, [])
    for period in ({"since": NOW + timedelta(days=9)}, {"until": NOW}):
        text = written(account, file_format, **period)
        checked = check_file(io.StringIO(text, newline=""), file_format, {})
        assert (checked.count, checked.breaches) == (0, [])


def test_has_nothing_of_another_account() -> None:
    account, other = make_chain(), make_chain()
    text = written(account)
    assert str(other.pk) not in text
    assert len(text.splitlines()) == 6


def test_is_written_in_few_queries() -> None:
    counts = []
    for length in (2, 40):
        account = make_chain(length=length)
        with CaptureQueriesContext(connection) as queries:
            written(account)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 5


def test_no_cell_is_a_formula() -> None:
    text = written(make_hostile_chain(), "csv")
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    assert len(cells) > 300
    starts = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
    assert not [cell for cell in cells if cell.startswith(starts)]
    assert "'=cmd|' /C calc'!A0" in cells
    assert "''quoted'" in cells


# --- what its proof finds -------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_proves_itself(file_format: str) -> None:
    account = make_hostile_chain()
    with without_triggers():  # one as it was written before there were sessions in it
        old = AuditEntry.objects.get(account=account, sequence=1)
        old.format, old.actor_agent = 1, ""
        old.hash = hash_of(old)
        old.save()
        second = AuditEntry.objects.get(account=account, sequence=2)
        previous = old.hash
        for entry in AuditEntry.objects.filter(account=account, sequence__gte=2).order_by(
            "sequence"
        ):
            entry.previous_hash = previous
            entry.hash = previous = hash_of(entry)
            entry.save()
    assert second.format == FORMAT
    text = written(account, file_format)
    assert breaches(text, file_format) == []
    checked = check_file(io.StringIO(text, newline=""), file_format, {})
    head = AuditEntry.objects.filter(account=account).order_by("-sequence").first()
    assert head is not None
    assert (checked.account_id, checked.head) == (account.pk, head.hash)
    assert (checked.first, checked.last, checked.count) == (1, len(HOSTILE), len(HOSTILE))


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), max_size=4
    )
)
def test_both_forms_give_any_text_back(texts: list[str]) -> None:
    account = make_account()
    for text in texts:
        current_actor.set(Actor("key", text[:60], text[:190], session=text[:16], agent=text[:200]))
        record_change(account_id=account.pk, action=text[:60], subject=account, before={"a": text})
    for file_format in FORMATS:
        assert breaches(written(account, file_format), file_format) == []


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("forge", "expected"),
    [
        (lambda lines: [line.replace("thing.changed2", "thing.forged") for line in lines],
         [("changed", 2)]),
        (lambda lines: [*lines[:-4], *lines[-3:]], [("changed", 4), ("removed", 2)]),
        (lambda lines: lines[:-1], [("tail_cut", 5)]),
        (lambda lines: [*lines[:-2], lines[-1]], [("tail_cut", 4)]),
        (lambda lines: [*lines[:-4], lines[-3], lines[-4], *lines[-2:]], [("reordered", 2)]),
    ],
)  # fmt: skip
def test_says_what_was_done_to_a_file(file_format: str, forge: Any, expected: Any) -> None:
    lines = written(make_chain(), file_format).splitlines(keepends=True)
    assert breaches("".join(forge(lines)), file_format) == sorted(expected, key=lambda x: x[1])


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("before", [1, FORMAT])
def test_an_entry_of_a_format_that_never_was_is_given_out_and_found_to_be_changed(
    file_format: str, before: int, tmp_path: Path
) -> None:
    account = make_chain()
    with without_triggers():
        row = AuditEntry.objects.get(account=account, sequence=4)
        row.format = before
        row.hash = hash_of(row)
        row.format = 99
        row.save()
    text = written(account, file_format)
    assert len(text.splitlines()) == 6 + (file_format == "csv")
    assert breaches(text, file_format) == [("changed", 4)]
    if file_format == "jsonl":
        assert json.loads(text.splitlines()[4])["format"] == 99
        path = tmp_path / "audit.jsonl"
        path.write_text(text, encoding="utf-8", newline="")
        done = run_recipe(path)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "AssertionError: 4")


def test_a_file_of_a_newer_hub_is_not_said_to_be_changed() -> None:
    text = written(make_chain())
    newer = text.replace('"fields":{', '"fields":{"3":["account"],').replace(
        '"format":2,"hash"', '"format":3,"hash"'
    )
    with pytest.raises(NotReadable, match="format 3, which this hub does not know"):
        breaches(newer)


def test_a_kept_anchor_tells_of_a_file_made_anew() -> None:
    account = make_chain()
    kept = {str(account.pk): {3: AuditEntry.objects.get(account=account, sequence=3).hash}}
    assert breaches(written(account), kept=kept) == []
    with without_triggers():
        previous = GENESIS
        for entry in AuditEntry.objects.filter(account=account).order_by("sequence"):
            entry.action, entry.previous_hash = "forged", previous
            entry.hash = previous = hash_of(entry)
            entry.save()
    assert breaches(written(account)) == []
    assert breaches(written(account), kept=kept) == [("rewritten", 3)]


def test_an_anchor_of_the_file_itself_is_held_against_it() -> None:
    account = make_chain()
    give_out_anchors()
    text = written(account)
    head = AuditAnchor.objects.get().head_hash
    *lines, end = text.splitlines()
    forged = end.replace(f'"sequence":4,"hash":"{head}"', f'"sequence":4,"hash":"{"1" * 64}"')
    assert breaches("\n".join([*lines, forged])) == [("rewritten", 4)]


def test_an_entry_of_another_account_is_said() -> None:
    account, other = make_chain(), make_chain()
    text = written(account).replace(str(account.pk), str(other.pk), 1)  # in the head
    assert ("changed", 1) in breaches(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", "{}", "[]", "null", "x", '{"record":"head"}', '{"record":"head","version":1}',
        '{"record":"head","version":1,"account":"x","first_sequence":1,"previous_hash":""}',
        '{"record":"head","version":9,"account":"x"}', '{"record":"entry"}', "1", '"a"',
    ],
)  # fmt: skip
def test_says_what_is_no_file_of_its_own(text: str) -> None:
    with pytest.raises(NotReadable):
        breaches(text)
    with pytest.raises(NotReadable):
        breaches(text, "csv")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_change_of_a_byte_goes_unnoticed(data: st.DataObject) -> None:
    """Of what is hashed; and nothing that is done to a file ends in another error."""
    account = make_chain(length=2)
    file_format = data.draw(st.sampled_from(FORMATS))
    text = written(account, file_format)
    place = data.draw(st.integers(0, len(text) - 1))
    with_another = text[:place] + data.draw(st.characters(codec="utf-8")) + text[place + 1 :]
    try:
        found = breaches(with_another, file_format)
    except NotReadable:
        return
    lines = text.splitlines(keepends=True)
    entries_at = range(sum(map(len, lines[:-3])), sum(map(len, lines[:-1])))
    if (
        with_another != text
        and place in entries_at
        and not _says_the_same(with_another, text, file_format)
    ):
        assert found != []


def _says_the_same(one: str, other: str, file_format: str) -> bool:
    """Whether the difference is one of writing: a space in JSON, or of columns."""
    try:
        if file_format == "jsonl":
            return [orjson.loads(line) for line in one.splitlines()] == [
                orjson.loads(line) for line in other.splitlines()
            ]
        rows = [list(csv.reader(io.StringIO(text, newline=""))) for text in (one, other)]
    except (ValueError, csv.Error):
        return False
    return rows[0] == rows[1] or [[cell.removeprefix("'") for cell in row] for row in rows[0]] == [
        [cell.removeprefix("'") for cell in row] for row in rows[1]
    ]


# --- the recipe -----------------------------------------------------------------------------------


def run_recipe(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", recipe(), str(path)], capture_output=True, text=True, check=False
    )


def test_the_documented_lines_check_a_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    account = make_hostile_chain()
    path.write_text(written(account), encoding="utf-8", newline="")
    done = run_recipe(path)
    assert done.returncode == 0, done.stderr
    head = AuditEntry.objects.filter(account=account).order_by("-sequence").first()
    assert head is not None
    assert done.stdout.split()[0] == str(len(HOSTILE))
    assert head.hash in done.stdout
    path.write_text(written(account).replace("Zo", "Zu"), encoding="utf-8", newline="")
    done = run_recipe(path)
    assert done.returncode == 1
    assert f"AssertionError: {HOSTILE.index('Zoë 🦊') + 1}\n" in done.stderr
