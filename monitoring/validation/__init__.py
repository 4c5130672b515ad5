"""Whether subscriptions and sources can do their work: what is found opens a Finding, and what is
mended resolves it."""

from monitoring.validation.running import Validated, validate

__all__ = ["Validated", "validate"]
