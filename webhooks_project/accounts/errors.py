"""What can go wrong with accounts; each docstring is the default message."""

from __future__ import annotations

from webhooks_project.lib.errors import DomainError


class MemberNotFound(DomainError):
    """The account has no such member."""

    code = "member_not_found"


class LastAdmin(DomainError):
    """It is the account's last administrator: make another first."""

    code = "last_admin"
    status = 409
