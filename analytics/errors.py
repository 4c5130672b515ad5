"""What cannot be answered or set; each docstring is the default message."""

from __future__ import annotations

from webhooks_project.lib.errors import DomainError


class Unanswerable(DomainError):
    """The question has no answer as it is put."""

    code = "unanswerable"

    @property
    def detail(self) -> str:
        return str(self)


class NoMeasure(Unanswerable):
    """Ask for a measure at least."""

    code = "no_measure"


class EmptyPeriod(Unanswerable):
    """The period's start must be before its end."""

    code = "empty_period"


class OrderNotMeasured(Unanswerable):
    """What is ordered by must be among the measures."""

    code = "order_not_measured"


class LimitNotAcceptable(Unanswerable):
    """A limit is 1 or more."""

    code = "limit_not_acceptable"


class MeasureWithoutDimension(Unanswerable):
    """The measure is not counted by that dimension."""

    code = "measure_without_dimension"


class FilterNotAcceptable(Unanswerable):
    """A filter has a value that the dimension cannot have."""

    code = "filter_not_acceptable"


class UnknownTimeZone(Unanswerable):
    """There is no time zone of that name."""

    code = "unknown_time_zone"


class TooManyPeriods(Unanswerable):
    """Ask for longer periods, or for fewer."""

    code = "too_many_periods"


class TooManyRows(Unanswerable):
    """Ask for fewer dimensions or longer periods, or set a limit."""

    code = "too_many_rows"


class StepsNotKept(Unanswerable):
    """So long ago that steps as short are kept no longer: ask for longer ones, or for later."""

    code = "steps_not_kept"


class NotThere(DomainError):
    """It was deleted meanwhile."""

    code = "not_found"
    status = 404


class ObjectiveExists(DomainError):
    """There is an objective for that already; change it."""

    code = "objective_exists"
    status = 409


class DashboardNotSeen(DomainError):
    """The report is of a dashboard that is private, and not its owner's."""

    code = "dashboard_not_seen"
    status = 409


class SubscriptionOfAnother(DomainError):
    """The subscription is not one of the account's."""

    code = "subscription_of_another"
