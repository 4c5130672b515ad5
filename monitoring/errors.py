"""What monitoring refuses."""

from __future__ import annotations

from typing import ClassVar

from webhooks_project.lib.errors import DomainError


class RuleNotAcceptable(DomainError):
    """The alert rule is not acceptable."""

    code: ClassVar[str] = "alert_rule_not_acceptable"


class PolicyNotAcceptable(DomainError):
    """The thresholds are not acceptable."""

    code: ClassVar[str] = "health_policy_not_acceptable"


class CommentNotAcceptable(DomainError):
    """A comment has from 1 to 1,000 characters."""

    code: ClassVar[str] = "comment_not_acceptable"


class IncidentResolved(DomainError):
    """The incident is resolved."""

    code: ClassVar[str] = "incident_resolved"
    status: ClassVar[int] = 409
