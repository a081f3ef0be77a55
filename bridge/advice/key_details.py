"""Details of what is signed by a client's or an issuer's own key: DPoP proofs, client assertions, statements."""

from __future__ import annotations

from bridge.advice.kinds import Detail
from bridge.model.reasons import Reason

_MALFORMED = Reason.DPOP_MALFORMED
PROOFS: tuple[Detail, ...] = (
    Detail(
        _MALFORMED,
        "does not have exactly typ, alg and jwk",
        "header",
        "Make the header of typ, alg and jwk alone; kid may be there, and no key by URL.",
        "jwk",
    ),
    Detail(_MALFORMED, "the type is not dpop+jwt", "header", "Set typ to dpop+jwt.", "typ"),
    Detail(_MALFORMED, "the algorithm is none of the nine", "header", "Sign with ES256, never with a MAC.", "alg"),
    Detail(_MALFORMED, "jwk is not an object", "header", "Put the public key into jwk as a JSON object.", "jwk"),
    Detail(
        _MALFORMED,
        "the key: ",
        "header",
        "Put the public numbers of the key alone into jwk: EC on P-256, P-384 or P-521, or RSA of 2048 bits or more.",
        "jwk",
    ),
    Detail(_MALFORMED, "jti is not a string", "claims", "Give each proof a new jti of 1 to 256 characters.", "jti"),
    Detail(
        _MALFORMED, "htm or htu is missing", "claims", "State htm (the method) and htu (the URL) as strings.", "htu"
    ),
    Detail(_MALFORMED, "iat is missing", "claims", "State iat, now, as a number of seconds.", "iat"),
    Detail(
        _MALFORMED,
        "the signature does not hold",
        "signature",
        "Sign the proof with the private half of the very key in its jwk.",
        "jwk",
    ),
    Detail(
        Reason.DPOP_MISMATCH,
        "htm is another method",
        "htm",
        "Set htm to the method of the request, in capitals: POST at /token, /par and /register.",
        "htm",
    ),
    Detail(
        Reason.DPOP_MISMATCH,
        "htu is another URL",
        "htu",
        "Set htu to the endpoint's URL as the metadata names it, without query: at mtls_endpoint_aliases that one, "
        "and never the address behind a proxy.",
        "htu",
    ),
    Detail(
        Reason.DPOP_STALE,
        "the proof is too old",
        "times",
        "Make a new proof for each request; if this one was new, set the clocks (NTP).",
        "iat",
    ),
    Detail(
        Reason.DPOP_STALE,
        "the proof is from the future",
        "times",
        "Set the clock of the client or of this machine (NTP): iat is more than 10 s ahead.",
        "iat",
    ),
    Detail(
        Reason.DPOP_NONCE,
        "",
        "nonce",
        "Send the request again with a proof whose nonce is that of the last answer's DPoP-Nonce header.",
        "nonce",
    ),
    Detail(
        Reason.DPOP_REPLAYED,
        "",
        "replay",
        "Make a new proof with a new jti for each request, retries included.",
        "jti",
    ),
    Detail(
        Reason.POLICY_PROOF,
        "an instance without a key",
        "client",
        "Send a DPoP proof by the instance's own key: this client is one per instance.",
        "client",
    ),
    Detail(
        Reason.POLICY_PROOF,
        " promised ",
        "promise",
        "Prove the key that the client registered its tokens to be bound to: a DPoP proof, or a certificate.",
        "dpop_bound_access_tokens",
    ),
)

ASSERTIONS: tuple[Detail, ...] = (
    Detail(
        Reason.ASSERTION_CLAIMS,
        "iss and sub are not both",
        "iss-sub",
        "Set both iss and sub to the client_id, character by character.",
        "iss",
    ),
    Detail(
        Reason.ASSERTION_CLAIMS,
        "jti is not a string",
        "jti",
        "Give each assertion a new jti of 1 to 256 characters.",
        "jti",
    ),
    Detail(
        Reason.ASSERTION_KEY,
        "no key fits",
        "key",
        "Sign with a key that the client registered or its document names, and name it by its kid.",
        "kid",
    ),
    Detail(Reason.ASSERTION_KEY, "several keys fit", "key", "Name the key that signed by its kid.", "kid"),
    Detail(
        Reason.ASSERTION_KEY,
        "does not fit its alg",
        "key",
        "Sign with the algorithm of the key that the kid names: ES256 for P-256, and so on.",
        "alg",
    ),
    Detail(
        Reason.ASSERTION_KEY,
        "names is unfit",
        "key",
        "Register a key that is fit to sign: EC on P-256, P-384 or P-521, or RSA of 2048 bits or more.",
        "jwks",
    ),
    Detail(
        Reason.ASSERTION_KEY,
        "there is no usable key",
        "key",
        "Give the client a key that is fit to sign: EC on P-256, P-384 or P-521, or RSA of 2048 bits or more.",
        "jwks",
    ),
    Detail(
        Reason.ASSERTION_KEY,
        "by another algorithm than the document states",
        "algorithm",
        "Sign with the document's token_endpoint_auth_signing_alg, or change that.",
        "token_endpoint_auth_signing_alg",
    ),
    Detail(
        Reason.CLIENT_UNKNOWN,
        "no record with keys goes by",
        "registered",
        "Set sub to a client_id that has keys on record (`bridge clients show`), or register it first; a workload "
        "sends its JWT-SVID, whose sub is a SPIFFE ID.",
        "sub",
    ),
    Detail(
        Reason.LEASE_ENDED,
        "",
        "lease",
        "Come once with an SVID, or register with a new statement: that brings the same client back.",
        "grant.lease",
    ),
    Detail(
        Reason.CLIENT_ID_MISMATCH,
        "the assertion is another client's",
        "named",
        "Send the client_id that is the assertion's sub, or none.",
        "client_id",
    ),
)

STATEMENTS: tuple[Detail, ...] = (
    Detail(
        Reason.STATEMENT_ISSUER,
        "the statement issuer ",
        "issuer",
        'Add [statement_issuers."ISS"] with jwks_file or jwks_uri to bridge.toml, iss written exactly so; or, if it '
        "shall vouch for nobody, have the statement made by one that is pinned.",
        "statement_issuers",
    ),
    Detail(
        Reason.STATEMENT_LIFETIME,
        "the statement was made for",
        "lifetime",
        "Have the issuer make statements whose exp is at most 600 s behind their iat.",
        "exp",
    ),
    Detail(
        Reason.BUNDLE_UNAVAILABLE,
        "the keys of ",
        "key-set",
        "Mend jwks_file or jwks_uri of [statement_issuers]: the keys of this issuer were never read.",
        "jwks_file",
    ),
    Detail(
        Reason.BUNDLE_EMPTY,
        "there is no usable key of ",
        "key-set",
        "Put a key that is fit to sign into jwks_file or what jwks_uri answers: EC, or RSA of 2048 bits or more.",
        "jwks_file",
    ),
    Detail(
        Reason.METADATA_INVALID,
        "the statement must carry jwks",
        "members",
        "State the client's jwks in the statement, and let the rule's asserts name jwks.",
        "asserts",
    ),
    Detail(Reason.METADATA_INVALID, "jwks_uri is not read here", "members", "State jwks instead of jwks_uri.", "jwks"),
    Detail(
        Reason.METADATA_INVALID,
        "spiffe_id is not the one",
        "members",
        "Leave spiffe_id out: it is the credential's.",
        "spiffe_id",
    ),
    Detail(
        Reason.REDIRECT_URI_INVALID,
        "a code needs one",
        "members",
        "List redirect_uris in the rule's grant, or let asserts name redirect_uris and state them.",
        "grant.redirect_uris",
    ),
    Detail(
        Reason.POLICY_NO_RULE,
        "let the statement state different members",
        "asserts",
        "Give both rules the same asserts.",
        "asserts",
    ),
)
