"""A provider's verdict in one call, for tests that look at one trap."""

from __future__ import annotations

from incoming.providers import PROVIDERS, Call, Cause, Refused, Secret, Verified


def verdict_of(
    name: str,
    signed: Call,
    *secrets: str,
    tolerance: int | None = None,
    options: dict[str, str] | None = None,
) -> Verified | Refused:
    """The secrets are known as s0, s1 and so on."""
    known = [Secret(id=f"s{number}", value=value) for number, value in enumerate(secrets)]
    return PROVIDERS[name].verify(signed, known, tolerance_seconds=tolerance, options=options)


def cause_of(
    name: str,
    signed: Call,
    *secrets: str,
    tolerance: int | None = None,
    options: dict[str, str] | None = None,
) -> Cause | None:
    """Why it was refused; None where it was accepted."""
    verdict = verdict_of(name, signed, *secrets, tolerance=tolerance, options=options)
    return verdict.cause if isinstance(verdict, Refused) else None
