"""Reasons about what an SVID or a DPoP proof says."""

from __future__ import annotations

from bridge.advice.entry import Advice, Section, Who
from bridge.model.reasons import Reason

JWT_SVID = Section(
    "JWT-SVIDs, and other assertions",
    {
        Reason.JWT_HEADER: Advice(
            "The header has members beside `alg`, `kid` and `typ` (`jwk`, `jku`, `x5c`, ...), or a `kid` that is no "
            "name.",
            "Send the token as SPIRE made it: no library may add to its header.",
            Who.CLIENT,
        ),
        Reason.JWT_ALGORITHM: Advice(
            "The token is signed by none of ES256, ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512.",
            "Have the server sign with one of them.",
            Who.SPIRE,
            "jwt_key_type",
        ),
        Reason.JWT_TYPE: Advice(
            "`typ` says that this is another kind of token: an access token, a WIT-SVID, a DPoP proof.",
            "Send the JWT-SVID, whose `typ` is `JWT`, `JOSE` or absent.",
            Who.CLIENT,
        ),
        Reason.JWT_CLAIMS: Advice(
            "A claim that has to be there is not, or is not of its type: `sub`, `aud`, `exp` (a number), and for "
            "statements `iat`.",
            "Fetch the token from the Workload API (`spire-agent api fetch jwt -audience ...`) instead of making it.",
            Who.CLIENT,
        ),
        Reason.JWT_AUDIENCE: Advice(
            "`aud` is not this service's audience, alone and byte for byte: the issuer, or for a statement the URL "
            "of `/register`.",
            "Fetch the SVID for that one audience: `spire-agent api fetch jwt -audience ISSUER`. No second one, no "
            "slash at the end, not the URL of `/token`.",
            Who.CLIENT,
            "-audience",
        ),
        Reason.JWT_EXPIRED: Advice(
            "`exp` was more than 30 s ago.",
            "Fetch a new SVID for each use, as the agent renews its own in time; if this one is new, set the clocks.",
            Who.CLIENT,
            "-jwtSVIDTTL",
        ),
        Reason.JWT_NOT_YET_VALID: Advice(
            "`nbf` (or the `iat` of a statement) is more than 30 s ahead of this machine's clock.",
            "Set the clocks: that of the SPIRE server, or that of this machine, is wrong (NTP).",
            Who.OPERATOR,
        ),
        Reason.JWT_LIFETIME: Advice(
            "The token has longer to live than `max_assertion_life` allows.",
            "Make the SPIRE server's JWT-SVIDs live shorter: `-jwtSVIDTTL` of the entry or `default_jwt_svid_ttl`.",
            Who.SPIRE,
            "default_jwt_svid_ttl",
        ),
        Reason.JWT_ISSUER: Advice(
            "`iss` is none of the trust domain's `jwt_issuers`, or absent.",
            "Make `jwt_issuers` of `bridge.toml` and `jwt_issuer` of the SPIRE server the same string.",
            Who.OPERATOR,
            "jwt_issuer",
        ),
        Reason.JWT_KEY_UNKNOWN: Advice(
            "The trust domain's bundle has no key of that `kid`: the bundle is older than the key, or another "
            "server signed.",
            "Renew the bundle: `bridge trust refresh`, or write the file anew (`spire-server bundle show -format "
            "spiffe`).",
            Who.OPERATOR,
            "trust_domains.source",
        ),
        Reason.JWT_KEY_AMBIGUOUS: Advice(
            "The token has no `kid`, and several keys of the bundle could have signed it.",
            "Have the issuer put `kid` into the header, as SPIRE does.",
            Who.SPIRE,
        ),
        Reason.JWT_KEY_UNFIT: Advice(
            "The key that the token names is too weak, is of a kind that is not taken, or does not fit the token's "
            "`alg`.",
            "Have the server sign with EC P-256 or P-384, or RSA of 2048 bits or more.",
            Who.SPIRE,
            "jwt_key_type",
        ),
        Reason.JWT_SIGNATURE: Advice(
            "The signature is not that of the key which the token names: it was changed on its way, or another "
            "server uses the same `kid`.",
            "Send the token exactly as the agent gave it; if it was, `bridge trust show` tells whose keys are trusted.",
            Who.CLIENT,
        ),
    },
)

X509_SVID = Section(
    "X.509-SVIDs",
    {
        Reason.X509_LEAF: Advice(
            "The leaf is not made as an SVID's: exactly one URI name, no CA, `digitalSignature` and neither "
            "`keyCertSign` nor `cRLSign`, `clientAuth` where extended usages are listed, nothing critical that is "
            "unknown.",
            "Send the X.509-SVID that the Workload API gives, not a server certificate or a CA of your own making.",
            Who.CLIENT,
        ),
        Reason.X509_KEY: Advice(
            "The leaf's or an intermediate's key is too weak or of a kind that is not taken.",
            "Use EC P-256, P-384 or P-521, or RSA of 2048 bits or more.",
            Who.SPIRE,
            "ca_key_type",
        ),
        Reason.X509_PATH: Advice(
            "No chain leads from the leaf to a CA of the trust domain's bundle: an intermediate was not sent, "
            "another CA signed, or a CA may not sign this.",
            "Send the leaf with all its intermediates, in one file; if it was all, renew the bundle (`bridge trust "
            "diff`).",
            Who.CLIENT,
        ),
        Reason.X509_EXPIRED: Advice(
            "The leaf, an intermediate or the CA has ended.",
            "Use the SVID that the agent holds now: read it anew for each connection, not once at the start.",
            Who.CLIENT,
            "-x509SVIDTTL",
        ),
        Reason.X509_NOT_YET_VALID: Advice(
            "The leaf or a CA above it is valid only later, by this machine's clock.",
            "Set the clocks: that of the SPIRE server, or that of this machine, is wrong (NTP).",
            Who.OPERATOR,
        ),
    },
)

DPOP = Section(
    "DPoP proofs",
    {
        Reason.DPOP_MALFORMED: Advice(
            "The `DPoP` header is no proof: two of them, not typed `dpop+jwt`, without its key, a claim of another "
            "type, or a signature that does not hold.",
            "Make one proof for each request by RFC 9449 section 4.2, with an EC or RSA key in `jwk`.",
            Who.CLIENT,
        ),
        Reason.DPOP_MISMATCH: Advice(
            "The proof is for another request: `htm` is not its method, `htu` not its URL, or `dpop_jkt` another key.",
            "Set `htu` to the endpoint's URL as the metadata has it, under the mTLS base where a certificate is shown.",
            Who.CLIENT,
            "htu",
        ),
        Reason.DPOP_STALE: Advice(
            "`iat` of the proof is too long ago, or ahead of this machine's clock.",
            "Make the proof when the request is sent; if it was, set the clocks.",
            Who.CLIENT,
        ),
        Reason.DPOP_NONCE: Advice(
            "The proof has no current nonce. This is the first half of an exchange, not a failure.",
            "Send the request again with the nonce of the answer's `DPoP-Nonce` header in the proof.",
            Who.CLIENT,
            "nonce",
        ),
        Reason.DPOP_REPLAYED: Advice(
            "The same proof came before.", "Make a new proof, with a `jti` of its own, for each request.", Who.CLIENT
        ),
    },
)
