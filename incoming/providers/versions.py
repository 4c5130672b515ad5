"""Third parties that sign in more than one way, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.recipe import Recipe
from incoming.providers.shared_token import SharedToken


@dataclass(frozen=True, kw_only=True)
class Versions(Declaration):
    """The first of `versions` whose signature the call has is the only one that is checked: where
    a newer one is there and wrong, an older one does not save the call."""

    versions: tuple[Recipe | SharedToken, ...]

    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        for version in self.versions:
            if version.applies(call):
                return version.verify(
                    call, secrets, tolerance_seconds=tolerance_seconds, options=options
                )
        return Refused(Cause.SIGNATURE_MISSING)

    def sign(
        self, call: Call, secret: Secret, options: Mapping[str, str] | None = None
    ) -> Call | None:
        """As the newest of the versions that are signed with the secret."""
        signed = (version.sign(call, secret, options) for version in self.versions)
        return next((made for made in signed if made is not None), None)

    def facts(self) -> Sequence[tuple[str, str]]:
        facts = [
            fact for version in self.versions for fact in version.facts() if fact[0] != "Methods"
        ]
        return [*facts, *self._shared_facts()]
