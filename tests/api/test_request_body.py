from __future__ import annotations

import pytest

from outgoing.bodies import hash_of
from outgoing.models import Attempt, SentBody
from outgoing.services import publish
from tests.api.calls import Api
from tests.factories import make_api_key, make_attempt, make_subscription
from tests.lib.receiver import answer, receiver
from tests.outgoing.pump import deliver
from webhooks_project.accounts.models import Role
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db


def test_shows_what_was_sent_byte_for_byte() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        publish(account=subscription.account, type="a", data=b'{ "n": 1.10 }')
        deliver()
    (arrived,) = here.arrived
    attempt = Attempt.objects.get()
    api = Api(make_api_key(subscription.account, Role.VIEWER).text)
    found = api.get(f"outgoing/attempts/{attempt.pk}/request-body")
    assert found.status == 200
    assert found.json == {
        "attempt": str(attempt.pk),
        "origin": "reproduced",
        "sha256": bytes(attempt.request_sha256).hex(),
        "bytes": len(arrived.body),
        "encoding": "utf-8",
        "body": arrived.body.decode(),
    }


def test_bytes_that_are_no_text_are_in_base64() -> None:
    body = b"\xff\xfe\xfd"
    attempt = make_attempt(request_sha256=hash_of(body))
    account = attempt.delivery.account
    SentBody.objects.create(
        account=account,
        delivery=attempt.delivery,
        sha256=hash_of(body),
        body=body,
        created_at=clock.now(),
    )
    api = Api(make_api_key(account).text)
    found = api.get(f"outgoing/attempts/{attempt.pk}/request-body").json
    assert (found["origin"], found["encoding"], found["body"]) == ("stored", "base64", "//79")


def test_says_why_there_is_none() -> None:
    attempt = make_attempt(request_bytes=0)
    api = Api(make_api_key(attempt.delivery.account).text)
    found = api.get(f"outgoing/attempts/{attempt.pk}/request-body").json
    assert found == {
        "attempt": str(attempt.pk),
        "origin": "not_sent",
        "sha256": "",
        "bytes": 0,
        "encoding": None,
        "body": None,
    }
