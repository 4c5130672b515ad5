"""What an account calls degraded, failing and down. Each function is one transaction."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from monitoring import journal
from monitoring.errors import PolicyNotAcceptable
from monitoring.models import HealthPolicy
from monitoring.thresholds import DEFAULTS, threshold_problems
from webhooks_project.acceptable import refuse


@transaction.atomic
def change_policy(*, policy: HealthPolicy, thresholds: Mapping[str, float | None]) -> HealthPolicy:
    """Set the named thresholds; None for the default. The others stay.

    Raises PolicyNotAcceptable.
    """
    policy.refresh_from_db(from_queryset=HealthPolicy.objects.select_for_update(no_key=True))
    before = dict(policy.thresholds)
    merged = {**before, **thresholds}
    own = {name: value for name, value in merged.items() if value is not None}
    refuse(threshold_problems(own), PolicyNotAcceptable)
    policy.thresholds = {name: value for name, value in own.items() if value != DEFAULTS[name]}
    if policy.thresholds != before:
        policy.save(update_fields=["thresholds"])
        journal.record_change(
            account_id=policy.account_id,
            action="health_policy.changed",
            subject=policy,
            before=before,
            after=policy.thresholds,
        )
    return policy
