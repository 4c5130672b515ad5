"""Which check of TLS failed, told from what OpenSSL and libcurl say of it."""

from __future__ import annotations

from typing import Final

# X509_V_ERR_…, which OpenSSL keeps its numbers of; libcurl passes them on.
_VERIFY_RESULTS: Final = {
    2: "unknown_authority",
    9: "not_yet_valid",
    10: "expired",
    18: "self_signed",
    19: "unknown_authority",  # the authority at the end of the chain is sent along and unknown
    20: "unknown_authority",
    21: "unknown_authority",
    23: "revoked",
    62: "name_mismatch",
    64: "name_mismatch",
}
_WORDS: Final = {
    "certificate subject name": "name_mismatch",
    "does not match": "name_mismatch",
    "alert certificate required": "client_certificate",
    "alert bad certificate": "client_certificate",
    "alert certificate expired": "client_certificate",
    "alert certificate unknown": "client_certificate",
    "alert unknown ca": "client_certificate",
    "alert access denied": "client_certificate",
    "alert protocol version": "protocol_version",
    "unsupported protocol": "protocol_version",
    "wrong version number": "no_tls",
    "packet length too long": "no_tls",
    "http request": "no_tls",
}


def failed_check(verify_result: int, message: str) -> str:
    """One of expired, not_yet_valid, self_signed, unknown_authority, revoked, name_mismatch;
    client_certificate where the other side does not take ours, protocol_version, no_tls where it
    speaks another protocol; handshake for any other."""
    if verify_result in _VERIFY_RESULTS:
        return _VERIFY_RESULTS[verify_result]
    text = message.lower()
    return next((check for words, check in _WORDS.items() if words in text), "handshake")


def is_refusal(message: str) -> bool:
    """Whether the other side ended TLS by an alert: in TLS 1.3 it refuses our certificate only
    after the handshake, which libcurl tells as an error of reading."""
    return "ssl routines" in message.lower() and " alert " in message
