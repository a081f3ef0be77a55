"""Reasons about the request, about which credential it shows, and about SPIFFE IDs and trust domains."""

from __future__ import annotations

from bridge.advice.entry import Advice, Section, Who
from bridge.model.reasons import Reason

REQUEST = Section(
    "The request",
    {
        Reason.REPEATED_PARAMETER: Advice(
            "A parameter other than `resource` came twice.", "Send each parameter once.", Who.CLIENT
        ),
        Reason.MALFORMED_REQUEST: Advice(
            "A parameter is missing or is not of its form, or the body is no form (at `/register`: no JSON).",
            "Mend the parameter that the answer names.",
            Who.CLIENT,
        ),
        Reason.CREDENTIALS_MIXED: Advice(
            "Two credentials in one request: a certificate beside an assertion, a secret or an `Authorization` "
            "header beside either, or two that are not of one identity.",
            "Send one credential. With a JWT-SVID ask at `listen` (`token_endpoint`), which wants no certificate; "
            "with an X.509-SVID ask at `mtls_listen` (`mtls_endpoint_aliases`), without an assertion.",
            Who.CLIENT,
        ),
        Reason.ASSERTION_PAIR: Advice(
            "`client_assertion` came without `client_assertion_type`, or the other way round.",
            "Send both: the type is `urn:ietf:params:oauth:client-assertion-type:jwt-spiffe`.",
            Who.CLIENT,
            "client_assertion_type",
        ),
    },
)

CREDENTIAL = Section(
    "Which credential",
    {
        Reason.CREDENTIAL_MISSING: Advice(
            "The request shows no credential, or an empty one.",
            "Send a JWT-SVID as `client_assertion`, or come over mutual TLS with an X.509-SVID. Where a proxy ends "
            "TLS, it has to pass the certificate on, and `[[trusted_proxies]]` has to name it.",
            Who.CLIENT,
        ),
        Reason.CREDENTIAL_UNSUPPORTED: Advice(
            "A credential of a kind that is not used here: a client secret, another `client_assertion_type`, or "
            "another method than the client's document states.",
            "Send a JWT-SVID with the type `urn:ietf:params:oauth:client-assertion-type:jwt-spiffe`, and no secret.",
            Who.CLIENT,
            "client_assertion_type",
        ),
        Reason.CREDENTIAL_TOO_LARGE: Advice(
            "An assertion above 16 KiB, or a chain of more than 5 certificates or 32 KiB.",
            "Take custom claims out of the JWT-SVID, or intermediates that the path does not need out of the chain.",
            Who.SPIRE,
        ),
        Reason.CREDENTIAL_MALFORMED: Advice(
            "The assertion is no JWS in compact form with strict JSON, or the certificate cannot be read.",
            "Send the SVID exactly as the Workload API gave it: three parts with two dots and no line end, or the "
            "whole chain in DER.",
            Who.CLIENT,
        ),
        Reason.CERTIFICATE_HEADER: Advice(
            "A trusted proxy sent a certificate header twice, of the other kind, or not strictly in its form: "
            "something of a client's own came through.",
            "Have the proxy remove these headers from requests and set its own; `spire-dev/proxies/` shows how.",
            Who.OPERATOR,
            "trusted_proxies.header",
        ),
        Reason.CREDENTIAL_REPLAYED: Advice(
            'The assertion was used before, and its rule (`replay = "once"`) or its kind allows one use.',
            'Fetch a new SVID for each request, or take `replay = "once"` out of the rule.',
            Who.CLIENT,
            "grant.replay",
        ),
        Reason.CLIENT_ID_MISSING: Advice(
            "A certificate came without `client_id`.",
            "Send `client_id`: the SPIFFE ID of the certificate.",
            Who.CLIENT,
            "client_id",
        ),
        Reason.CLIENT_ID_MISMATCH: Advice(
            "`client_id` names another client than the one that the credential resolves to under the rules of now.",
            "Send the SPIFFE ID as `client_id`, or leave it out beside an assertion.",
            Who.CLIENT,
            "client_id",
        ),
    },
)

TRUST = Section(
    "SPIFFE IDs and trust domains",
    {
        Reason.SPIFFE_ID_INVALID: Advice(
            "`sub`, or the URI name of the certificate, is no SPIFFE ID of a workload: `spiffe://`, a trust domain "
            "in lower case, and a path of plain segments without a slash at the end.",
            "Mend the ID of the registration entry. A subject that is no SPIFFE ID at all is no JWT-SVID's.",
            Who.SPIRE,
            "-spiffeID",
        ),
        Reason.TRUST_DOMAIN_UNKNOWN: Advice(
            "No `[trust_domains]` section has the trust domain of the SPIFFE ID.",
            "Add the trust domain to `bridge.toml` with the source of its bundle, or send the workload to the agent "
            "of a trust domain that is there.",
            Who.OPERATOR,
            "trust_domains",
        ),
        Reason.BUNDLE_EMPTY: Advice(
            "The trust domain's bundle holds no usable key of the kind that the SVID needs.",
            "Give the source a SPIFFE bundle: `spire-server bundle show -format spiffe`. Each key in it says "
            '`"use": "jwt-svid"` or `"use": "x509-svid"`; a PEM file, and the key set of an OIDC discovery '
            "provider, hold none.",
            Who.OPERATOR,
            "use",
        ),
        Reason.BUNDLE_SHARED: Advice(
            "Another configured trust domain holds one of the same keys, so neither of the two is trusted (503).",
            "`bridge trust list` names the other one and the key: take away the source that should not have it.",
            Who.OPERATOR,
            "trust_domains.source",
        ),
        Reason.BUNDLE_UNAVAILABLE: Advice(
            "The trust domain's bundle was never read, or not confirmed for longer than `max_stale`. The answer is "
            "503: it is no fault of the client.",
            "`bridge trust list` names the fault of its source: mend that file, socket or URL.",
            Who.OPERATOR,
            "trust_domains.source",
        ),
    },
)
