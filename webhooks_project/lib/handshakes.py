"""Connections that are made, with their TLS, and nothing is sent over.

By the same engine as deliveries: the same bounds, and each socket address judged before it is
connected.
"""

from __future__ import annotations

from typing import Any

import pycurl

from webhooks_project.lib.outbound import Failure, Identity, Outbound, Response


class Handshakes(Outbound):
    """An engine whose requests end once the connection stands; their headers and body are not sent.

    A response has no status: `shook_hands` says whether it came about.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for transfer in self._idle:
            transfer.handle.setopt(pycurl.CONNECT_ONLY, 1)

    def _stand_in(self, plain: Any, identity: Identity) -> Any:
        transfer = super()._stand_in(plain, identity)
        transfer.handle.setopt(pycurl.CONNECT_ONLY, 1)
        return transfer


def shook_hands(response: Response, *, is_secure: bool) -> bool:
    """Whether the connection came about, with TLS where the URL asks for it."""
    reached = response.tls_ms if is_secure else response.connect_ms
    # The engine misses an answer's head, which nobody asked for.
    return reached is not None and response.failure is Failure.BAD_RESPONSE
