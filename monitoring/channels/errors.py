"""What can go wrong with a channel or a notification; each docstring is the default message."""

from __future__ import annotations

from webhooks_project.lib.errors import DomainError


class AlertingError(DomainError):
    """That cannot be done."""

    code = "alerting_error"


class ChannelNotAcceptable(AlertingError):
    """The channel is not acceptable."""

    code = "channel_not_acceptable"


class ChannelExists(AlertingError):
    """The account has a channel of that name."""

    code = "channel_exists"
    status = 409


class TestTooSoon(AlertingError):
    """The channel was tested a moment ago: wait ten seconds."""

    code = "test_too_soon"
    status = 409


class TestFailed(AlertingError):
    """The test message was not taken."""

    code = "test_failed"
    status = 409


class ResendNotAllowed(AlertingError):
    """Only what has failed can be sent again."""

    code = "resend_not_allowed"
    status = 409
