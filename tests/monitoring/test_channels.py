"""What every kind of channel keeps to, each against a server of its own; then what is special."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any, ClassVar

import orjson
import pytest
import time_machine
from django.core.management import call_command
from django.db import connection

from monitoring import notifications, turns
from monitoring.alerting import GROUP_FOR, tell
from monitoring.channels import KINDS, services, slack, teams, web
from monitoring.channels.message import MAY_BE_A_REPEAT
from monitoring.models import Activity, AuditEntry, Channel, Incident, Notification
from monitoring.notifications import LEASE_SECONDS, RETRY_SECONDS, send_due_notifications
from outgoing.models import Event
from tests.factories import make_account, make_incident, make_source, make_subscription
from tests.monitoring.receivers import (
    NOW,
    PAGERDUTY,
    SLACK,
    TEAMS,
    TEAMS_HOST,
    Answer,
    Mailbox,
    WebServer,
    mail_server,
    make_channel,
    make_rule,
    nobody,
    relays,
    resolve,
    web_server,
)

pytestmark = pytest.mark.django_db

Moment = Notification.Moment
Status = Notification.Status


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def web_host(settings: Any) -> Iterator[WebServer]:
    with web_server() as server:
        settings.WEBHOOKS_CHANNEL_RELAYS = relays(server)
        yield server


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    with mail_server(settings) as box:
        yield box


def outcomes(incident: Incident) -> list[tuple[str, str]]:
    rows = Notification.objects.filter(incident=incident).order_by("created_at", "pk")
    return [(row.moment, row.status) for row in rows]


class Contract:
    """A kind of channel; `arrived` is the titles, or what stands for them, that came."""

    kind: ClassVar[str]
    titles_of_all: ClassVar[list[str]] = ["Endpoint 0 fails", "Resolved: Endpoint 0 fails"]

    @pytest.fixture(autouse=True)
    def _server(self, clock: Any, web_host: WebServer, mailbox: Mailbox) -> None:
        self.clock, self.web, self.mailbox = clock, web_host, mailbox

    def channel(self, **fields: Any) -> Channel:
        return make_channel(make_account(name="Acme"), self.kind, **fields)

    def arrived(self) -> list[str]:
        raise NotImplementedError

    def open_incident(self, channel: Channel, **fields: Any) -> Incident:
        incident = make_incident(make_rule(channel.account, channel), **fields)
        tell(incident, Moment.OPENED)
        return incident

    def test_tells_of_opening_and_resolution(self) -> None:
        incident = self.open_incident(self.channel())
        assert send_due_notifications() == 1
        self.clock.shift(600)
        tell(resolve(incident, NOW + timedelta(minutes=10)), Moment.RESOLVED)
        self.clock.shift(GROUP_FOR.total_seconds())
        assert send_due_notifications() == 1
        assert self.arrived() == self.titles_of_all
        assert outcomes(incident) == [("opened", "sent"), ("resolved", "sent")]

    def test_tells_the_same_of_an_incident_once(self) -> None:
        incident = self.open_incident(self.channel())
        assert [tell(incident, Moment.OPENED) for _ in range(3)] == [0, 0, 0]
        send_due_notifications()
        assert tell(incident, Moment.OPENED) == 0
        assert send_due_notifications() == 0
        assert len(self.arrived()) == 1

    def test_is_not_used_once_it_is_off(self) -> None:
        channel = self.channel()
        incident = self.open_incident(channel)
        services.change_channel(channel=channel, enabled=False)
        send_due_notifications()
        assert self.arrived() == []
        assert outcomes(incident) == [("opened", "withdrawn")]

    def test_is_not_used_once_it_is_deleted_and_its_history_stays(self) -> None:
        channel = self.channel()
        incident = self.open_incident(channel)
        services.delete_channel(channel=channel)
        send_due_notifications()
        assert self.arrived() == []
        row = Notification.objects.get(incident=incident)
        assert (row.status, row.channel, row.via) == ("withdrawn", None, self.kind)

    def test_a_test_message_is_sent_at_once_and_its_result_kept(self) -> None:
        channel = services.send_test(channel=self.channel())
        assert (channel.tested_at, channel.test_error) == (NOW, "")
        assert len(self.arrived()) >= 1
        assert not Notification.objects.exists()

    def test_a_test_holds_no_transaction_while_the_other_side_answers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        channel = self.channel()
        around = len(connection.atomic_blocks)
        within = []
        kind = type(KINDS[self.kind])
        sender = type(KINDS[self.kind].connect())
        send = sender.send

        def note(*args: Any) -> None:
            within.append(len(connection.atomic_blocks) - around)
            send(*args)

        monkeypatch.setattr(sender, "send", note)
        assert services.send_test(channel=channel).test_error == ""
        assert within == [1 if kind.in_database else 0]

    def test_one_that_is_deleted_while_its_test_is_on_its_way_is_not_there(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        channel = self.channel()
        sender = type(KINDS[self.kind].connect())
        send = sender.send

        def send_and_lose(*args: Any) -> None:
            send(*args)
            Channel.objects.filter(pk=channel.pk).delete()

        monkeypatch.setattr(sender, "send", send_and_lose)
        with pytest.raises(Channel.DoesNotExist):
            services.send_test(channel=channel)
        assert len(self.arrived()) >= 1
        assert not Notification.objects.exists()

    def test_a_second_test_within_ten_seconds_is_refused(self) -> None:
        channel = services.send_test(channel=self.channel())
        count = len(self.arrived())
        self.clock.shift(9)
        with pytest.raises(services.TestTooSoon):
            services.send_test(channel=channel)
        assert len(self.arrived()) == count
        self.clock.shift(1)
        services.send_test(channel=channel)
        assert len(self.arrived()) == 2 * count

    def test_quiet_hours_hold_back_what_is_not_critical(self) -> None:
        quiet = {"quiet_from": "11:00", "quiet_until": "13:00"}
        channel = self.channel(**quiet)
        channel.refresh_from_db()
        rule = make_rule(channel.account, channel)
        for severity in ("warning", "critical"):
            tell(make_incident(rule, severity=severity), Moment.OPENED)
        assert send_due_notifications() == 1
        held = Notification.objects.get(status="pending")
        assert held.incident is not None
        assert (held.incident.severity, held.next_attempt_at) == (
            "warning", NOW + timedelta(hours=1),
        )  # fmt: skip
        self.clock.shift(3600)
        assert send_due_notifications() == 1

    def test_no_refusal_or_change_shows_the_secret(self, caplog: Any) -> None:
        caplog.set_level(logging.DEBUG)
        channel = self.channel()
        if not channel.secret:
            pytest.skip("it has none")
        services.send_test(channel=channel)
        self.web.give(Answer(404, f"no {channel.secret} here".encode()))
        self.clock.shift(60)
        services.send_test(channel=channel)
        incident = self.open_incident(channel)
        send_due_notifications()
        services.change_channel(channel=channel, name="Other")
        services.delete_channel(channel=channel)
        kept = [
            *AuditEntry.objects.values_list("before", "after"),
            *Activity.objects.values_list("text"),
            *Notification.objects.filter(incident=incident).values_list("error", "text"),
            channel.test_error,
            caplog.text,
        ]
        assert "404" in channel.test_error
        for part in (channel.secret, "aVerySecret", PAGERDUTY):
            assert part not in str(kept)

    def test_a_secret_is_sealed_in_the_database(self) -> None:
        channel = self.channel()
        if not channel.secret:
            pytest.skip("it has none")
        sealed = Channel.objects.get(pk=channel.pk).__dict__["secret"]
        assert not [part for part in ("aVerySecret", PAGERDUTY) if part in sealed]


class WebContract(Contract):
    """A kind that is spoken to over HTTP."""

    name: ClassVar[str]
    host: ClassVar[str]

    def test_a_redirect_is_not_followed(self) -> None:
        self.web.give(Answer(302, headers={"Location": f"{self.web.url}/elsewhere"}))
        incident = self.open_incident(self.channel())
        send_due_notifications()
        assert len(self.web.asked) == 1
        row = Notification.objects.get(incident=incident)
        assert (row.status, row.error.split(":")[0]) == ("failed", "redirected")

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
    def test_what_is_refused_for_good_is_not_tried_again(self, status: int) -> None:
        self.web.give(Answer(status, b"no_service"))
        incident = self.open_incident(self.channel())
        send_due_notifications()
        row = Notification.objects.get(incident=incident)
        assert (row.status, row.attempt_count, row.next_attempt_at) == ("failed", 1, None)
        assert row.error == f"not_accepted: {self.name} answered {status} no_service"
        assert Activity.objects.get().kind == "notification.failed"

    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
    def test_what_may_pass_is_tried_again(self, status: int) -> None:
        self.web.give(Answer(status), Answer(202))
        incident = self.open_incident(self.channel())
        assert send_due_notifications() == 1
        row = Notification.objects.get(incident=incident)
        later = NOW + timedelta(seconds=RETRY_SECONDS[0])
        assert (row.status, row.next_attempt_at) == ("pending", later)
        self.clock.move_to(later)
        assert send_due_notifications() == 1
        assert outcomes(incident) == [("opened", "sent")]

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("600", 600),
            ("Wed, 04 Mar 2026 12:05:00 GMT", 300),
            ("999999", 3600),
            ("5", 60),
            ("soon", 60),
        ],
    )
    def test_it_is_left_alone_for_as_long_as_it_asks(self, value: str, seconds: int) -> None:
        self.web.give(Answer(429, headers={"Retry-After": value}), Answer(200))
        channel = self.channel()
        incident = self.open_incident(channel)
        send_due_notifications()
        row = Notification.objects.get(incident=incident)
        assert row.next_attempt_at == NOW + timedelta(seconds=seconds)

    def test_nothing_else_goes_through_a_channel_that_asked_to_be_left_alone(self) -> None:
        self.web.give(Answer(429, headers={"Retry-After": "600"}), Answer(200))
        channel = self.channel()
        self.open_incident(channel)
        send_due_notifications()
        other = make_incident(channel.alert_rules.get())
        tell(other, Moment.OPENED)
        assert send_due_notifications() == 0
        row = Notification.objects.get(incident=other)
        assert (row.status, row.attempt_count) == ("pending", 0)
        assert row.next_attempt_at == NOW + timedelta(seconds=600)

    def test_an_answer_that_drips_is_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(web, "ANSWER_SECONDS", 0.3)
        self.web.give(Answer(500, drips=True))
        incident = self.open_incident(self.channel())
        send_due_notifications()
        row = Notification.objects.get(incident=incident)
        assert (row.status, row.error[:12]) == ("pending", "server_error")

    def test_an_exchange_is_bounded_as_a_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(web, "EXCHANGE_SECONDS", 0.3)
        self.web.give(Answer(200, drips_head=True))  # each byte well within the time for one
        incident = self.open_incident(self.channel())
        begun = time.perf_counter()
        send_due_notifications()
        assert time.perf_counter() - begun < 1.5
        row = Notification.objects.get(incident=incident)
        error = f"answer_timeout: {self.name} did not answer in time"
        assert (row.status, row.error) == ("pending", error)
        assert turns.is_away(self.host)

    def test_an_endless_answer_is_kept_as_a_line(self) -> None:
        self.web.give(Answer(400, b"\x00\xff\n<b>" + b"z" * 1_000_000))
        incident = self.open_incident(self.channel())
        send_due_notifications()
        error = Notification.objects.get(incident=incident).error
        assert len(error) <= 260
        assert error.isprintable()

    def test_a_host_that_is_away_is_asked_once_and_mails_go_out(self, settings: Any) -> None:
        channel = self.channel()
        rule = make_rule(channel.account, channel, make_channel(channel.account, "email"))
        for _ in range(3):
            tell(make_incident(rule), Moment.OPENED)
        with nobody() as url:
            settings.WEBHOOKS_CHANNEL_RELAYS = {self.host: url}
            assert send_due_notifications() == 4
        assert len(self.mailbox.told) == 3
        tried = Notification.objects.filter(via=self.kind, attempt_count=1)
        assert [row.error.split(":")[0] for row in tried] == ["not_reachable"]
        assert Notification.objects.filter(via=self.kind, attempt_count=0).count() == 2

    def test_what_was_cut_off_is_sent_again_after_the_lease(self) -> None:
        incident = self.open_incident(self.channel())
        lost = notifications._claim(NOW)
        assert lost is not None
        self.clock.shift(LEASE_SECONDS)
        assert send_due_notifications() == 1
        assert outcomes(incident) == [("opened", "sent")]
        assert len(self.web.asked) == 1

    def test_a_late_finisher_does_not_overwrite(self) -> None:
        incident = self.open_incident(self.channel())

        def take_over() -> None:
            self.web.meanwhile = None
            Notification.objects.filter(incident=incident).update(attempt_count=2)

        # In the same thread: the others have connections of their own.
        post = web.WebConnection.post

        def cut(*args: Any, **kwargs: Any) -> None:
            post(*args, **kwargs)
            take_over()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(web.WebConnection, "post", cut)
            send_due_notifications()
        row = Notification.objects.get(incident=incident)
        assert (row.status, row.attempt_count) == ("sending", 2)

    def test_keeps_no_cookie_from_one_message_to_the_next(self) -> None:
        self.web.give(Answer(200, headers={"Set-Cookie": "a=b; Path=/"}))
        incident = self.open_incident(self.channel())
        tell(make_incident(incident.rule), Moment.OPENED)
        send_due_notifications()
        assert ["cookie" in asked.headers for asked in self.web.asked] == [False, False]

    def test_asks_by_post_with_json_and_without_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        self.open_incident(self.channel())
        send_due_notifications()
        [asked] = self.web.asked
        assert (asked.method, asked.headers["content-type"]) == ("POST", "application/json")


class TestEmail(Contract):
    kind = "email"

    def arrived(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails()]

    def mails(self) -> list[Any]:
        found = [envelope.content for envelope in self.mailbox.envelopes]
        return [message_from_bytes(content, policy=policy.default) for content in found]

    def test_goes_to_each_address_and_member_once(self) -> None:
        channel = self.channel(recipients=["ann@example.com", "operator", "Bob@example.com"])
        from tests.factories import make_user

        make_user(channel.account, "admin", email="bob@example.com")
        make_user(channel.account, "viewer", email="viewer@example.com")
        self.open_incident(channel)
        send_due_notifications()
        assert sorted(self.mailbox.told) == ["ann@example.com", "bob@example.com"]

    def test_a_test_to_many_waits_for_one_mail_alone(self) -> None:
        people = [f"{name}@example.com" for name in ("ann", "bob", "cy")]
        channel = services.send_test(channel=self.channel(recipients=people))
        assert (self.mailbox.told, channel.test_error) == (["ann@example.com"], "")
        rows = Notification.objects.order_by("recipient")
        assert [(row.kind, row.channel, row.recipient) for row in rows] == [
            ("channel.test", channel, "bob@example.com"),
            ("channel.test", channel, "cy@example.com"),
        ]
        assert send_due_notifications() == 2
        assert sorted(self.mailbox.told) == people
        assert set(self.arrived()) == {f"Test of {channel.name}"}
        assert set(rows.values_list("status", flat=True)) == {"sent"}

    def test_a_test_that_the_mail_server_does_not_take_queues_nothing(self) -> None:
        channel = self.channel(recipients=["nobody@example.com", "zoe@example.com"])
        tested = services.send_test(channel=channel)
        assert tested.test_error.startswith("mail_not_sent: SMTPRecipientsRefused")
        assert not Notification.objects.exists()

    def test_a_mail_that_may_come_twice_says_so(self) -> None:
        self.open_incident(self.channel())
        assert notifications._claim(NOW) is not None  # a node that dies with it
        self.clock.shift(LEASE_SECONDS)
        send_due_notifications()
        self.open_incident(self.channel(), title="Another")
        send_due_notifications()
        texts = [mail.get_content().replace("\r\n", "\n") for mail in self.mails()]
        assert texts[0].splitlines()[-2:] == ["", MAY_BE_A_REPEAT]
        assert MAY_BE_A_REPEAT not in texts[1]

    def test_says_what_is_known(self, settings: Any) -> None:
        settings.PUBLIC_URL = "https://hooks.example.com"
        channel = self.channel(time_zone="Europe/Berlin")
        subscription = make_subscription(channel.account, name="Shop")
        self.open_incident(channel, subscription=subscription, cause="status_5xx")
        send_due_notifications()
        [mail] = self.mails()
        row = Notification.objects.get()
        assert mail["Message-ID"] == f"<{row.pk}@hooks.example.com>"
        text = mail.get_content().replace("\r\n", "\n")
        assert text.startswith(
            "9 of 10 attempts have failed.\n\nSeverity: warning\nKind: endpoint failing\n"
            "Subscription: Shop\nCause: status_5xx\nOpen since: 2026-03-04 13:00 CET\n"
            "Account: Acme\n"
        )


class TestSlack(WebContract):
    kind, name, host = "slack", "Slack", "hooks.slack.com"
    titles_of_all: ClassVar = ["🟡 Endpoint 0 fails", "🟢 Resolved: Endpoint 0 fails"]

    def arrived(self) -> list[str]:
        return [body["blocks"][0]["text"]["text"] for body in self.web.bodies]

    def test_posts_blocks_to_the_address(self, settings: Any) -> None:
        settings.PUBLIC_URL = "https://hooks.example.com"
        source = make_source()
        channel = self.channel()
        self.open_incident(channel, severity="critical", source=source, title="A <!channel> & b")
        send_due_notifications()
        [asked] = self.web.asked
        assert asked.path == SLACK.removeprefix("https://hooks.slack.com")
        assert asked.body["text"] == "A &lt;!channel&gt; &amp; b"
        header, text, facts, *_ = asked.body["blocks"]
        assert header["text"] == {
            "type": "plain_text", "text": "🔴 A <!channel> & b", "emoji": False,
        }  # fmt: skip
        assert text["text"]["text"] == "9 of 10 attempts have failed."
        assert [item["text"] for item in facts["fields"]] == [
            "Severity: critical", "Kind: endpoint failing", f"Source: {source.name}",
            "Open since: 2026-03-04 12:00 UTC", "Account: Acme",
        ]  # fmt: skip

    def test_keeps_within_slack_s_limits(self) -> None:
        incident = self.open_incident(self.channel(), title="t" * 200, text="x" * 10_000)
        row = Notification.objects.get(incident=incident)
        from monitoring.wording import message_of

        header, text, *_ = slack.body_of(message_of(row))["blocks"]
        assert len(header["text"]["text"]) == 150
        assert len(text["text"]["text"]) == 3000

    def test_one_that_was_cut_off_says_that_it_may_be_a_repeat(self) -> None:
        self.open_incident(self.channel())
        notifications._claim(NOW)
        self.clock.shift(LEASE_SECONDS)
        send_due_notifications()
        assert MAY_BE_A_REPEAT in str(self.web.bodies[0])

    def test_one_that_was_refused_before_does_not(self) -> None:
        self.web.give(Answer(500), Answer(200))
        self.open_incident(self.channel())
        send_due_notifications()
        self.clock.shift(RETRY_SECONDS[0])
        send_due_notifications()
        assert len(self.web.asked) == 2
        assert MAY_BE_A_REPEAT not in str(self.web.bodies)


class TestTeams(WebContract):
    kind, name, host = "teams", "Teams", TEAMS_HOST
    titles_of_all: ClassVar = ["Endpoint 0 fails", "Resolved: Endpoint 0 fails"]

    def arrived(self) -> list[str]:
        return [self.card(body)["body"][0]["text"] for body in self.web.bodies]

    def card(self, body: Any) -> Any:
        [attachment] = body["attachments"]
        assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
        return attachment["content"]

    def test_posts_an_adaptive_card_to_the_whole_address(self, settings: Any) -> None:
        settings.PUBLIC_URL = "https://hooks.example.com"
        self.open_incident(self.channel(), title="A [link](https://evil.example) *b*")
        send_due_notifications()
        [asked] = self.web.asked
        assert asked.path == TEAMS.removeprefix(f"https://{TEAMS_HOST}:443")
        assert asked.body["type"] == "message"
        card = self.card(asked.body)
        assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
        assert card["body"][0]["text"] == r"A \[link\]\(https://evil.example\) \*b\*"
        assert card["body"][0]["color"] == "Warning"

    def test_keeps_within_28_kilobytes(self) -> None:
        incident = self.open_incident(self.channel(), title="t" * 200, text="*" * 16_000)
        row = Notification.objects.get(incident=incident)
        from monitoring.wording import message_of

        assert len(str(teams.body_of(message_of(row)))) < 28 * 1024


class TestPagerDuty(WebContract):
    kind, name, host = "pagerduty", "PagerDuty", "events.pagerduty.com"
    titles_of_all: ClassVar = ["trigger", "resolve"]

    def arrived(self) -> list[str]:
        return [body["event_action"] for body in self.web.bodies]

    def test_triggers_acknowledges_and_resolves_one_alert(self) -> None:
        incident = self.open_incident(self.channel(), severity="critical")
        send_due_notifications()
        incident.status, incident.acknowledged_by = "acknowledged", "ann"
        incident.save()
        assert tell(incident, Moment.ACKNOWLEDGED) == 1
        send_due_notifications()
        tell(resolve(incident, NOW), Moment.RESOLVED)
        send_due_notifications()  # at once: it rings nobody
        first, *rest = self.web.bodies
        assert first["routing_key"] == PAGERDUTY
        assert first["payload"]["summary"] == "Endpoint 0 fails"
        assert (first["payload"]["source"], first["payload"]["severity"]) == ("Acme", "critical")
        assert [(body["event_action"], body["dedup_key"]) for body in self.web.bodies] == [
            (action, str(incident.pk)) for action in ("trigger", "acknowledge", "resolve")
        ]
        assert all("payload" not in body for body in rest)
        assert {asked.path for asked in self.web.asked} == {"/v2/enqueue"}

    def test_an_alert_of_what_is_gone_is_closed_with_why(self) -> None:
        incident = self.open_incident(self.channel())
        send_due_notifications()
        tell(resolve(incident, NOW, "gone"), Moment.RESOLVED)
        send_due_notifications()
        last = self.web.bodies[-1]
        assert (last["event_action"], last["payload"]["summary"]) == (
            "resolve", "Closed, not recovered: Endpoint 0 fails",
        )  # fmt: skip

    def test_of_europe_is_asked_in_europe(self, settings: Any) -> None:
        settings.WEBHOOKS_CHANNEL_RELAYS = {"events.eu.pagerduty.com": self.web.url}
        channel = self.channel(region="eu")
        assert channel.host == "events.eu.pagerduty.com"
        assert services.send_test(channel=channel).test_error == ""

    def test_what_is_raised_is_the_same_alert_and_more_severe(self) -> None:
        incident = self.open_incident(self.channel())
        send_due_notifications()
        incident.severity = "critical"
        incident.save()
        tell(incident, Moment.RAISED)
        send_due_notifications()
        first, second = self.web.bodies
        assert (first["event_action"], second["event_action"]) == ("trigger", "trigger")
        assert first["dedup_key"] == second["dedup_key"] == str(incident.pk)
        assert (first["payload"]["severity"], second["payload"]["severity"]) == (
            "warning", "critical",
        )  # fmt: skip
        assert second["payload"]["summary"] == "Now critical: Endpoint 0 fails"

    def test_a_test_leaves_no_alert_open(self) -> None:
        services.send_test(channel=self.channel())
        assert self.arrived() == ["trigger", "resolve"]
        assert len({body["dedup_key"] for body in self.web.bodies}) == 1
        assert self.web.bodies[0]["payload"]["severity"] == "info"

    @pytest.mark.parametrize(
        ("error", "arrives"),
        [
            ("answer_timeout: PagerDuty did not answer in time", True),
            ("TryNeverEnded: The process ended before the last try did.", True),
            ("not_reachable: PagerDuty could not be reached", False),
            ("not_accepted: PagerDuty answered 400", False),
        ],
    )
    def test_what_may_have_come_is_resolved_there_though_its_opening_has_failed(
        self, error: str, arrives: bool
    ) -> None:
        incident = self.open_incident(self.channel())
        Notification.objects.filter(incident=incident).update(
            status="failed", attempt_count=6, next_attempt_at=None, error=error
        )
        tell(resolve(incident, NOW), Moment.RESOLVED)
        send_due_notifications()
        assert self.arrived() == (["resolve"] if arrives else [])
        end = "sent" if arrives else "withdrawn"
        assert outcomes(incident) == [("opened", "failed"), ("resolved", end)]

    def test_nothing_is_resolved_there_that_was_never_triggered(self) -> None:
        channel = self.channel(quiet_from="11:00", quiet_until="13:00")
        channel.refresh_from_db()
        incident = self.open_incident(channel)
        tell(resolve(incident, NOW), Moment.RESOLVED)
        send_due_notifications()
        self.clock.shift(7200)
        send_due_notifications()
        assert self.arrived() == []
        assert outcomes(incident) == [("opened", "withdrawn"), ("resolved", "withdrawn")]


class TestWebhook(Contract):
    kind = "webhook"
    titles_of_all: ClassVar = ["incident.opened", "incident.resolved"]

    def channel(self, **fields: Any) -> Channel:
        channel = super().channel(**fields)
        make_subscription(channel.account, event_types=("incident.*",))
        return channel

    def arrived(self) -> list[str]:
        return list(Event.objects.order_by("pk").values_list("type", flat=True))

    def test_publishes_an_event_for_whoever_subscribes(self) -> None:
        channel = self.channel()
        subscription = make_subscription(channel.account, event_types=("incident.*",))
        incident = self.open_incident(channel, subscription=subscription, cause="dns")
        send_due_notifications()
        event = Event.objects.get()
        assert event.causation_id == f"incident:{incident.pk}"
        data = orjson.loads(bytes(event.data))
        assert data["incident"] == str(incident.pk)
        assert (data["kind"], data["severity"], data["cause"]) == (
            "endpoint_failing", "warning", "dns",
        )  # fmt: skip
        assert data["opened_at"] == "2026-03-04T12:00:00Z"
        # To the other, not to the one that it is about.
        [delivery] = event.deliveries.all()
        assert delivery.subscription_id != subscription.pk

    def test_publishes_what_is_raised_and_what_is_nearer(self) -> None:
        incident = self.open_incident(self.channel())
        send_due_notifications()
        incident.severity = "critical"
        incident.raised_at = NOW
        incident.save()
        for moment in (Moment.RAISED, Moment.RAISED, Moment.REMINDED):
            tell(incident, moment)
        send_due_notifications()
        assert self.arrived() == ["incident.opened", "incident.raised", "incident.reminded"]
        data = orjson.loads(bytes(Event.objects.get(type="incident.raised").data))
        assert (data["severity"], data["raised_at"]) == ("critical", "2026-03-04T12:00:00Z")

    def test_publishes_what_is_acknowledged_and_escalated(self) -> None:
        incident = self.open_incident(self.channel())
        send_due_notifications()
        tell(incident, Moment.ESCALATED)
        send_due_notifications()
        incident.status = "acknowledged"
        incident.save()
        tell(incident, Moment.ACKNOWLEDGED)
        send_due_notifications()
        assert self.arrived() == [
            "incident.opened", "incident.escalated", "incident.acknowledged",
        ]  # fmt: skip

    def test_where_nobody_subscribes_it_has_failed_and_says_so(self) -> None:
        channel = make_channel(make_account(), "webhook")
        incident = self.open_incident(channel)
        send_due_notifications()
        row = Notification.objects.get(incident=incident)
        assert (row.status, row.error) == (
            "failed", "not_heard: no active subscription of the account hears incident.opened",
        )  # fmt: skip
        assert not Event.objects.exists()

    def test_is_published_once_though_the_process_breaks_off(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        incident = self.open_incident(self.channel())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(notifications, "_end", lambda claim, **values: False)
            send_due_notifications()
        assert not Event.objects.exists()
        self.clock.shift(LEASE_SECONDS)
        send_due_notifications()
        assert self.arrived() == ["incident.opened"]
        assert outcomes(incident) == [("opened", "sent")]

    def test_over_its_limit_it_is_late_and_left_out_never(self) -> None:
        channel = self.channel(hourly_limit=2)
        rule = make_rule(channel.account, channel)
        for _ in range(3):
            tell(make_incident(rule), Moment.OPENED)
        send_due_notifications()
        assert len(self.arrived()) == 2
        self.clock.shift(3600)
        send_due_notifications()
        assert self.arrived() == ["incident.opened"] * 3


def test_every_kind_keeps_to_the_contract() -> None:
    tested = {found.kind for found in (TestEmail, TestSlack, TestTeams, TestPagerDuty, TestWebhook)}
    assert tested == set(KINDS) == set(Channel.Kind.values)


@pytest.mark.parametrize("kind", ["slack", "teams", "pagerduty"])
def test_secrets_follow_the_keys(kind: str, capsys: Any) -> None:
    channel = make_channel(kind=kind)
    before = channel.secret
    call_command("rotate_encryption_keys")
    assert Channel.objects.get(pk=channel.pk).secret == before
