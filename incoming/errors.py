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


class ClaimLost(IncomingError):
    """Another pump has taken the receipts meanwhile."""

    code = "claim_lost"
