"""The answer to a call by which a third party only asks whether we are there."""

from __future__ import annotations

from dataclasses import replace

import structlog
from django.db import transaction
from django.http import HttpResponse

from incoming.masking import forms_of
from incoming.models import Receipt
from incoming.providers import Answer, Identity, Refused
from incoming.receiving.answers import given_answer
from incoming.receiving.arrival import Arrival
from incoming.receiving.receipt import receipt_of
from incoming.services import learn_secret
from webhooks_project.lib.sql import insert_instance
from webhooks_project.uncounted import Kind, mark_uncounted

log = structlog.get_logger(__name__)


def shake_hands(arrival: Arrival, answer: Answer | Refused) -> HttpResponse | Refused:
    """Answer a handshake, learn the secret that it may tell, and keep a receipt of it."""
    if isinstance(answer, Refused):
        return answer
    if answer.learned_secret:
        learn_secret(source_id=arrival.source.id, secret=answer.learned_secret)
    # A handshake may be proved by any of the secrets, or tell one.
    secrets = [secret.value for secret, _ in arrival.source.secrets]
    told = forms_of([*secrets, answer.learned_secret])
    never_kept = (*arrival.source.never_kept, *(form.encode("utf-8", "replace") for form in told))
    arrival.source = replace(arrival.source, never_kept=never_kept)
    receipt = receipt_of(arrival, Receipt.Status.HANDSHAKE, Identity())
    with transaction.atomic():
        insert_instance(receipt)
        mark_uncounted(Kind.RECEIPT, [receipt.received_at])
    log.info("handshake answered", receipt_id=str(receipt.pk), source_id=str(receipt.source_id))
    return given_answer(answer)
