"""HTTP to addresses that others choose: the only way out, for deliveries, tests and probes.

One thread drives many transfers through libcurl's multi interface. What a receiver can do to us is
bounded here: one deadline over everything from the name lookup to the last byte, no redirects, no
proxy from the environment, no decompression, 64 KiB of header and 64 KiB of body read at most, and
each socket address judged before it is connected. All transfers of one engine share its
connections, names, TLS sessions and certificate authorities, which are read once.

Where the operator's egress proxy leads out, our sockets go to that, and it looks names up: so each
host is judged before, by all addresses that our own resolver finds.

A response counts only once the blank line that ends its headers was seen: libcurl, like most
clients, reports an answer that was cut inside its header block by its status all the same.
"""

from __future__ import annotations

from webhooks_project.lib.outbound.engine import Outbound
from webhooks_project.lib.outbound.exchange import Failure, Identity, Request, Response

__all__ = ["Failure", "Identity", "Outbound", "Request", "Response"]
