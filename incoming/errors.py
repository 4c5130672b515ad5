"""What can go wrong with a source or a receipt; each docstring is the default message."""

from __future__ import annotations

from webhooks_project.lib.errors import DomainError


class IncomingError(DomainError):
    """The request cannot be carried out."""

    code = "incoming_error"


class SourceNotAcceptable(IncomingError):
    """The source is not acceptable."""

    code = "source_not_acceptable"


class StateNotAllowed(IncomingError):
    """The present status does not allow that."""

    code = "state_not_allowed"
    status = 409


class SampleNotPossible(IncomingError):
    """No sample can be sent."""

    code = "sample_not_possible"
    status = 409


class ReplayNotAcceptable(IncomingError):
    """The replay is not acceptable."""

    code = "replay_not_acceptable"


class ClaimLost(IncomingError):
    """Another pump has taken the receipts meanwhile."""

    code = "claim_lost"


class ResultNotAcceptable(IncomingError):
    """What an expression gave is not what it is for."""

    code = "result_not_acceptable"


class EvaluationTooLong(IncomingError):
    """The conditions and expressions of the receipt's source take too long together."""

    code = "evaluation_too_long"


class StateTooLarge(IncomingError):
    """The integration's state would have more than it may hold."""

    code = "state_too_large"


class BodyPruned(IncomingError):
    """The receipt's body is no longer kept."""

    code = "body_pruned"
    status = 409


class HandlerUnknown(IncomingError):
    """No handler in the code has this name."""

    code = "handler_unknown"
