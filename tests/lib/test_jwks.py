from __future__ import annotations

from joserfc.jwk import KeySet, OKPKey

from webhooks_project.lib.jwks import key_id, key_set

# The key of RFC 8037, appendix A; its thumbprint is in A.3.
PUBLIC = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_key_is_shown_as_rfc_8037_has_it() -> None:
    assert key_set([PUBLIC]) == {
        "keys": [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "x": X,
                "kid": THUMBPRINT,
                "use": "sig",
                "alg": "EdDSA",
            }
        ]
    }
    assert key_id(PUBLIC) == THUMBPRINT


def test_a_library_reads_the_set() -> None:
    (key,) = KeySet.import_key_set(key_set([PUBLIC])).keys
    assert isinstance(key, OKPKey)
    assert (key.thumbprint(), key.is_private) == (THUMBPRINT, False)


def test_keys_stay_in_their_order() -> None:
    other = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
    shown = key_set([other, PUBLIC])["keys"]
    assert [key["kid"] for key in shown] == [key_id(other), THUMBPRINT]
    assert key_set([]) == {"keys": []}
