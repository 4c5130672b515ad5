"""What is done with alert rules. Each function is one transaction and is audited."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef

from monitoring import conf, journal
from monitoring.errors import RuleNotAcceptable
from monitoring.figures import DAY
from monitoring.kinds import HUB, KINDS, SOURCE, SUBSCRIPTION, Kind, KindFacts
from monitoring.models import AlertRule, Channel, HealthPolicy
from monitoring.models.incidents import Severity
from webhooks_project.acceptable import Checks, Problem, problems_of, refuse
from webhooks_project.accounts.models import Account, Membership
from webhooks_project.lib import clock

MAX_RULES: Final = 200  # of one account
MAX_SECONDS: Final = 86_400 * 7  # of waiting before an incident is opened, resolved or escalated
MAX_CHANNELS: Final = 20  # of one rule
LOWEST_RISE: Final = 1.1  # times what is usual
HIGHEST_RISE: Final = 1_000
CHANGEABLE: Final = (
    "name", "severity", "subscription", "source", "threshold", "window_seconds", "rise_factor",
    "opens_after_seconds", "resolves_after_seconds", "escalates_after_seconds", "enabled",
)  # fmt: skip
MANY: Final[tuple[str, ...]] = ("channels", "escalation_channels")


@transaction.atomic
def create_rule(
    *, account: Account, name: str, kind: str, is_staff: bool = False, **fields: Any
) -> AlertRule:
    """Make a rule. What is not given is the kind's own. `is_staff`: by the platform's staff.

    `fields` are others of CHANGEABLE and those of MANY, lists of channels. Raises
    RuleNotAcceptable.
    """
    many = {item: fields.pop(item) for item in MANY if item in fields}
    _check_names(fields)
    rule = AlertRule(account=account, name=name, kind=kind, created_at=clock.now())
    defaults = _defaults_of(kind)
    if fields.get("window_seconds") == DAY:
        defaults["rise_factor"] = None  # the day is what a shorter window is held against
    for item, value in {**defaults, **fields}.items():
        setattr(rule, item, value)
    _check(rule, many, is_staff=is_staff)
    # The account's row is what two who make the same rule wait for.
    Account.objects.select_for_update(no_key=True).get(pk=account.pk)
    _check_others(rule)
    if AlertRule.objects.filter(account=account).count() >= MAX_RULES:
        refuse(
            [Problem("too_many", f"an account has at most {MAX_RULES} rules", field="name")],
            RuleNotAcceptable,
        )
    rule.save(force_insert=True)
    _set_many(rule, many)
    journal.record_change(
        account_id=account.pk, action="alert_rule.created", subject=rule, after=_shown(rule)
    )
    return rule


@transaction.atomic
def change_rule(*, rule: AlertRule, is_staff: bool = False, **changes: Any) -> AlertRule:
    """Change the named fields: those of CHANGEABLE and MANY. Raises RuleNotAcceptable.

    Its kind stays, which its threshold and its windows belong to. What its incidents say stays,
    too; whether they go on follows the changed rule.
    """
    many = {item: changes.pop(item) for item in MANY if item in changes}
    _check_names(changes)
    rule.refresh_from_db(from_queryset=AlertRule.objects.select_for_update(no_key=True))
    before = _shown(rule)
    for name, value in changes.items():
        setattr(rule, name, value)
    _check(rule, many, is_staff=is_staff)
    _check_others(rule)
    rule.save(update_fields=list(changes) or None)
    _set_many(rule, many)
    after = _shown(rule)
    journal.record_change(
        account_id=rule.account_id,
        action="alert_rule.changed",
        subject=rule,
        before={name: value for name, value in before.items() if value != after[name]},
        after={name: value for name, value in after.items() if value != before[name]},
    )
    return rule


@transaction.atomic
def delete_rule(*, rule: AlertRule) -> None:
    """Look for it no more. Its open incidents are resolved as gone; their history stays."""
    rule.refresh_from_db(from_queryset=AlertRule.objects.select_for_update())
    journal.record_change(
        account_id=rule.account_id, action="alert_rule.deleted", subject=rule, before=_shown(rule)
    )
    rule.delete()


def give_defaults(limit: int = 500) -> int:
    """Give accounts that have none yet a health policy and the default rules. Returns how many.

    However an account was made, it has them a minute later; what its people delete stays deleted.
    """
    without = Account.objects.filter(health_policy=None).order_by("pk").values_list("pk", flat=True)
    return sum(_give_defaults(key) for key in list(without[:limit]))


def give_hub_rules() -> bool:
    """Give the platform's own account the default rules about the hub, once. Whether it got them.

    It is the one that WEBHOOKS_PLATFORM_ACCOUNT names; else, once, the oldest whose members are all
    of the platform's staff: one of them may be a member of a customer's account, too.
    """
    slug = conf.platform_account()
    own = Account.objects.filter(slug=slug)
    if not slug:
        if HealthPolicy.objects.filter(hub_rules_at__isnull=False).exists():
            return False
        staff = Membership.objects.filter(user__is_superuser=True, user__is_active=True)
        others = Membership.objects.filter(user__is_superuser=False)
        own = Account.objects.filter(
            ~Exists(others.filter(account=OuterRef("pk"))), pk__in=staff.values("account")
        ).order_by("created_at", "pk")
    policy = HealthPolicy.objects.filter(account__in=list(own[:1])).first()
    return policy is not None and policy.hub_rules_at is None and _give_hub_rules(policy.account_id)


@transaction.atomic
def _give_hub_rules(account_id: UUID) -> bool:
    now = clock.now()
    account = Account.objects.select_for_update(no_key=True).get(pk=account_id)
    given = HealthPolicy.objects.filter(account=account, hub_rules_at=None).update(hub_rules_at=now)
    if given:
        _make_rules(account, default_rules(of_hub=True), now)
    return bool(given)


@transaction.atomic
def _give_defaults(account_id: UUID) -> bool:
    now = clock.now()
    # Two nodes at once: the second waits for the first, and finds the row.
    account = Account.objects.select_for_update(no_key=True).filter(pk=account_id).first()
    if account is None or HealthPolicy.objects.filter(account=account).exists():
        return False
    HealthPolicy.objects.create(account=account, created_at=now)
    _make_rules(account, default_rules(), now)
    return True


def _make_rules(account: Account, rules: Iterable[dict[str, Any]], now: datetime) -> None:
    taken = set(AlertRule.objects.filter(account=account).values_list("name", flat=True))
    AlertRule.objects.bulk_create(
        AlertRule(account=account, created_at=now, **fields)
        for fields in rules
        if fields["name"] not in taken
    )


def default_rules(*, of_hub: bool = False) -> Iterator[dict[str, Any]]:
    """The rules that every account starts with: one of each kind, but for those of the hub; or
    these, which the platform's own account has as well."""
    for kind, facts in KINDS.items():
        if facts.is_hub_wide != of_hub:
            continue
        base = {"kind": kind.value, **_defaults_of(kind)}
        name = facts.title
        if facts.unit == "days":
            name = f"{facts.title}: {facts.default:g} days"
        yield {**base, "name": name}
        for threshold, severity in facts.more_defaults:
            days = "day" if threshold == 1 else "days"
            yield {
                **base,
                "name": f"{facts.title}: {threshold:g} {days}",
                "threshold": threshold,
                "severity": severity.value,
            }


def _defaults_of(kind: str) -> dict[str, Any]:
    if kind not in Kind.values:
        return {"threshold": 1.0}
    facts = KINDS[Kind(kind)]
    return {
        "severity": facts.severity.value,
        "threshold": facts.default,
        "window_seconds": facts.windows[0] if facts.windows else 0,
        "rise_factor": facts.rise_factor,
        "opens_after_seconds": facts.opens_after_seconds,
        "resolves_after_seconds": facts.resolves_after_seconds,
    }


def rule_problems(rule: AlertRule) -> list[Problem]:
    """What is wrong with a rule, whoever makes it."""
    if rule.kind not in Kind.values:
        return [Problem("invalid_choice", "is no kind of rule", field="kind")]
    facts = KINDS[Kind(rule.kind)]
    checks: Checks = {
        "name": lambda: _name(rule.name),
        "severity": lambda: _choice(rule.severity, Severity.values),
        "threshold": lambda: _between(rule.threshold, facts.lowest, facts.highest, facts.unit),
        "window_seconds": lambda: _window(rule.window_seconds, facts.windows),
        "rise_factor": lambda: _rise_factor(rule, facts),
        "opens_after_seconds": lambda: _between(rule.opens_after_seconds, 0, MAX_SECONDS),
        "resolves_after_seconds": lambda: _between(rule.resolves_after_seconds, 0, MAX_SECONDS),
        "escalates_after_seconds": lambda: _between(rule.escalates_after_seconds, 60, MAX_SECONDS),
        "subscription": lambda: _subject(rule, SUBSCRIPTION, facts.about),
        "source": lambda: _subject(rule, SOURCE, facts.about),
    }
    return problems_of(rule, checks, unjudged={"account", "subscription", "source", "created_at"})


def _name(text: str) -> Iterator[Problem]:
    if not text.strip():
        yield Problem("required", "is needed")


def _choice(value: str, values: Collection[str]) -> Iterator[Problem]:
    if value not in values:
        yield Problem("invalid_choice", f"is one of {', '.join(values)}")


def _between(
    value: float | None, lowest: float, highest: float, unit: str = "seconds"
) -> Iterator[Problem]:
    if value is not None and not lowest <= value <= highest:  # NaN is in no range
        yield Problem("out_of_range", f"must be from {lowest:g} to {highest:,g} {unit}")


def _window(value: int, windows: tuple[int, ...]) -> Iterator[Problem]:
    if windows and value not in windows:
        known = ", ".join(map(str, sorted(windows)))
        yield Problem("invalid_choice", f"is one of {known} seconds")
    elif not windows and value:
        yield Problem("not_of_kind", "has no meaning for this kind, which looks at the present")


def _rise_factor(rule: AlertRule, facts: KindFacts) -> Iterator[Problem]:
    if rule.rise_factor is None:
        return
    if facts.rise_factor is None:
        yield Problem("not_of_kind", "has no meaning for this kind, which counts nothing")
    elif rule.window_seconds == DAY:
        yield Problem("not_of_window", "is held against the day: the window must be shorter")
    else:
        yield from _between(rule.rise_factor, LOWEST_RISE, HIGHEST_RISE, "times what is usual")


def _subject(rule: AlertRule, name: str, about: frozenset[str]) -> Iterator[Problem]:
    row = getattr(rule, name)
    if row is None:
        return
    if name not in about:
        yield Problem("not_of_kind", f"a rule of this kind is about no {name}")
    elif row.account_id != rule.account_id:
        yield Problem("does_not_exist", f"the account has no such {name}")
    elif name == SOURCE and rule.subscription_id is not None:
        yield Problem("both", "a rule is about a subscription or a source, not both")


def _check(rule: AlertRule, many: Mapping[str, Any], *, is_staff: bool) -> None:
    problems = rule_problems(rule)
    if rule.kind in Kind.values and HUB in KINDS[Kind(rule.kind)].about and not is_staff:
        message = "only the platform's staff may make a rule about the hub's own queues"
        problems.append(Problem("staff_only", message, field="kind"))
    for name, channels in many.items():
        if len(channels) > MAX_CHANNELS:
            problems.append(Problem("too_many", f"at most {MAX_CHANNELS} are taken", field=name))
        elif not _are_there(rule, channels):
            message = "the account has no such channel"
            problems.append(Problem("does_not_exist", message, field=name))
    refuse(problems, RuleNotAcceptable)


def _are_there(rule: AlertRule, channels: Collection[Channel]) -> bool:
    """Whether all are the account's, and stay until the rule is written."""
    keys = {channel.pk for channel in channels}
    there = Channel.objects.select_for_update(no_key=True).filter(account=rule.account_id)
    return set(there.filter(pk__in=keys).order_by("pk").values_list("pk", flat=True)) == keys


def _check_others(rule: AlertRule) -> None:
    same = AlertRule.objects.filter(account=rule.account_id, name=rule.name).exclude(pk=rule.pk)
    if same.exists():
        problem = Problem("unique", "the account has a rule of that name", field="name")
        refuse([problem], RuleNotAcceptable)


def _check_names(fields: Mapping[str, Any]) -> None:
    if unknown := set(fields) - set(CHANGEABLE):
        raise TypeError(f"not changeable: {', '.join(sorted(unknown))}")


def _set_many(rule: AlertRule, many: Mapping[str, Collection[Channel]]) -> None:
    for name, channels in many.items():
        getattr(rule, name).set(channels)


def _shown(rule: AlertRule) -> dict[str, Any]:
    return {
        "kind": rule.kind,
        **{name: getattr(rule, name) for name in CHANGEABLE if name not in (SUBSCRIPTION, SOURCE)},
        "subscription": rule.subscription_id,
        "source": rule.source_id,
        **{
            name: sorted(str(key) for key in getattr(rule, name).values_list("pk", flat=True))
            for name in MANY
        },
    }
