"""The key that a registration names an instance by, and whether whoever sends it has shown to hold it.

A captured statement must not bring a foreign key (T-46, interface section 9): a key that only the request
names counts beside a certificate, whose handshake only the workload can make, or a proof by that very key.
"""

from __future__ import annotations

from bridge.metadata.keys import public_jwks, read_jwks
from bridge.model.errors import InvalidClientMetadata
from bridge.model.identity import BindingMethod, KeyBinding
from bridge.model.reasons import Reason
from bridge.registration.composing import InstanceKey, Said
from bridge.registration.introduction import Introduced


def key_for(said: Said, introduced: Introduced) -> InstanceKey | None:
    """The instance key that the registration brings: that of its DPoP proof, else the one key in `jwks`.

    Raises: InvalidClientMetadata (KEY_FOREIGN) for keys that nobody vouches for, whatever kind of client it
    will be; for several keys without a proof that says which.
    """
    jwks = said.metadata.get("jwks")
    proved = introduced.identity.key(BindingMethod.JKT)
    if jwks is None:
        return None if proved is None else InstanceKey(proved.thumbprint, proved.jwk)
    _require_vouched(said, introduced, proved)
    keys = [(key.thumbprint, jwk) for key, jwk in zip(read_jwks(jwks), _entries(jwks), strict=True)]
    if proved is not None:
        keys = [key for key in keys if key[0] == proved.thumbprint]
    # A statement's several keys are a fine set for a client that is no instance: then no key is named here.
    return InstanceKey(*keys[0]) if len(keys) == 1 else None


def _require_vouched(said: Said, introduced: Introduced, proved: KeyBinding | None) -> None:
    thumbprints = {key.thumbprint for key in read_jwks(said.metadata.get("jwks"))}
    if proved is not None:
        if proved.thumbprint not in thumbprints:
            raise _foreign("the key of the DPoP proof is none of those in jwks")
        if "jwks" not in said.stated and len(thumbprints) > 1:
            raise _foreign("send one key in jwks: the proof is by one")
        return
    if "jwks" not in said.stated and introduced.identity.key(BindingMethod.X5T_S256) is None:
        raise _foreign("jwks: send a DPoP proof by that key, or register over mutual TLS with an X.509-SVID")


def _entries(jwks: object) -> list[dict[str, object]]:
    keys = public_jwks(jwks)["keys"]
    assert isinstance(keys, list), "public_jwks gives a set"
    return keys


def _foreign(public: str) -> InvalidClientMetadata:
    return InvalidClientMetadata(Reason.KEY_FOREIGN, public, public=public)
