"""Calls by key that the database confirms with what they store, in one statement."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from webhooks_project.accounts.known_keys import StaleGeneration, is_current
from webhooks_project.accounts.models import ApiKey
from webhooks_project.api.authentication import ApiKeyAuthentication, forget_caller


class ConfirmedByStoring(GenericViewSet[Any]):
    """A viewset whose `storing` actions may be called by a key that nobody has confirmed yet.

    What they store they store by its generation, which raises StaleGeneration where that is
    another by now. Whatever else such a call is answered with is confirmed first. Where the
    generation has changed, the call is made once more by what the database says of the key.
    """

    storing: ClassVar[frozenset[str]] = frozenset()
    _is_repeated = False

    @property
    def is_confirmed_later(self) -> bool:
        """Whether this call may begin by a key as it was read last."""
        return self.action in self.storing and not self._is_repeated

    def handle_exception(self, exc: Exception) -> Response:
        if self._is_stale(exc):
            try:
                return self._repeat(exc)
            except Exception as error:
                exc = error
        return super().handle_exception(exc)

    def _is_stale(self, error: Exception) -> bool:
        # As it is: `auth` would authenticate a call that failed before that.
        key = getattr(self.request, "_auth", None)
        if not isinstance(key, ApiKey) or key.is_confirmed:
            return False
        return isinstance(error, StaleGeneration) or not is_current(
            {key.account_id: key.generation}
        )

    def _repeat(self, error: Exception) -> Response:
        self._is_repeated = True
        request = self.request
        forget_caller(request)
        found = ApiKeyAuthentication().authenticate(request)
        assert found is not None  # noqa: S101 - it was a call by key
        request.user, request.auth = found  # type: ignore[assignment]
        self.check_permissions(request)
        if isinstance(error, (ParseError, UnsupportedMediaType)):  # a body is read only once
            raise error
        made: Response = getattr(self, self.action)(request, *self.args, **self.kwargs)
        return made
