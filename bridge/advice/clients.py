"""Reasons about what clients register and sign by themselves, about policy, and about their records."""

from __future__ import annotations

from bridge.advice.entry import Advice, Section, Who
from bridge.model.reasons import Reason

REGISTERED = Section(
    "Statements, metadata, keys of clients",
    {
        Reason.STATEMENT_MISSING: Advice(
            "A registration came without `software_statement` and without a certificate.",
            "Send a JWT-SVID whose only audience is the URL of `/register` as `software_statement`.",
            Who.CLIENT,
            "software_statement",
        ),
        Reason.STATEMENT_ISSUER: Advice(
            "The statement's `iss` is no pinned issuer, or its `sub` is no SPIFFE ID and was meant to be one.",
            'Add `[statement_issuers."ISS"]` with its keys, if it shall vouch for clients.',
            Who.OPERATOR,
            "statement_issuers",
        ),
        Reason.STATEMENT_LIFETIME: Advice(
            "The statement has more than ten minutes to live, or was made for more.",
            "Make statements that end within ten minutes: for a JWT-SVID `-jwtSVIDTTL` of the entry, in seconds.",
            Who.SPIRE,
            "-jwtSVIDTTL",
        ),
        Reason.METADATA_INVALID: Advice(
            "The metadata is not of its form, contradicts itself, or says more than the rule lets anybody say.",
            "Mend the member that the answer names.",
            Who.CLIENT,
        ),
        Reason.REDIRECT_URI_INVALID: Advice(
            "A redirect URI is none that a client may have, or the rule does not list it.",
            "Use https (or http on a loopback address), and put the URI into `grant.redirect_uris` of the rule.",
            Who.OPERATOR,
            "grant.redirect_uris",
        ),
        Reason.KEY_FOREIGN: Advice(
            "The registration's `jwks` has another key than the one that its DPoP proof shows, or one that nothing "
            "vouches for.",
            "Register with the one key that makes the DPoP proofs.",
            Who.CLIENT,
            "jwks",
        ),
        Reason.CLIENT_UNKNOWN: Advice(
            "An assertion of the client's own (`private_key_jwt`) names a client that has no keys on record, or "
            "nobody has come with this URL before and the addresses' limit is used up.",
            "Register first, or send a JWT-SVID: its `sub` is a SPIFFE ID.",
            Who.CLIENT,
            "sub",
        ),
        Reason.LEASE_ENDED: Advice(
            "An instance or a statement's client came by its own key, and its record has ended.",
            "Come once with an SVID (or a new statement): that brings the same client back.",
            Who.CLIENT,
            "grant.lease",
        ),
        Reason.ASSERTION_CLAIMS: Advice(
            "An assertion of the client's own does not say `iss` and `sub` as the `client_id`, or has no `jti`.",
            "Set `iss` and `sub` to the `client_id`, `aud` to the issuer, and a new `jti` each time.",
            Who.CLIENT,
        ),
        Reason.ASSERTION_KEY: Advice(
            "No key on the client's record, or in its document, fits the assertion.",
            "Sign with a key of the registered `jwks`, named by its `kid`.",
            Who.CLIENT,
            "jwks",
        ),
        Reason.REGISTRATION_TOKEN: Advice(
            "The registration access token is missing, not the one in force, or another client's.",
            "Register again with the same credential: the answer has the token in force.",
            Who.CLIENT,
            "registration_access_token",
        ),
        Reason.MANAGEMENT_FORBIDDEN: Advice(
            "Token and SVID are right, but this client is denied, or the rules give the identity another client now.",
            "`bridge clients show ID` and `bridge clients recheck` say which.",
            Who.OPERATOR,
        ),
    },
)

POLICY = Section(
    "Policy",
    {
        Reason.POLICY_NO_RULE: Advice(
            "No rule admits this identity with this evidence at this door.",
            "Write a rule in the policy file of its trust domain, or correct the `path`, `evidence` or `door` of "
            "the nearest: `bridge policy explain` names it.",
            Who.OPERATOR,
            "when.path",
        ),
        Reason.POLICY_DENY_RULE: Advice(
            'A rule with `effect = "deny"` matches. A deny always wins.',
            "Look at the deny that the log names: its `why` says what for. Narrow it if it was not meant for this.",
            Who.OPERATOR,
            "effect",
        ),
        Reason.POLICY_GRANT_TYPE: Advice(
            "The rules admit the identity, but not for this grant type.",
            "Put the grant type into `grant.grant_types` of its rule, or ask for one that is there.",
            Who.OPERATOR,
            "grant.grant_types",
        ),
        Reason.POLICY_SCOPE: Advice(
            "A scope is not in the catalogue, or no single rule covers all that was asked for.",
            "Ask for scopes of one rule, or add the scope to the rule (rules are never added up).",
            Who.OPERATOR,
            "grant.scopes",
        ),
        Reason.POLICY_RESOURCE: Advice(
            "A resource is malformed, unknown or not covered, or none was named and several are possible.",
            "Send `resource`: the URI of the resource as the catalogue has it.",
            Who.CLIENT,
            "resource",
        ),
        Reason.POLICY_PROOF: Advice(
            "The rule binds tokens to a key (`bind`), or the client promised to, and the request proved none that "
            "fits.",
            "Send a DPoP proof (`bridge token --dpop FILE`), or come with an X.509-SVID where the rule wants "
            "`x5t#S256`.",
            Who.CLIENT,
            "grant.bind",
        ),
        Reason.GRANT_TYPE_UNSUPPORTED: Advice(
            "`grant_type` is none that this server offers.",
            "Ask for `client_credentials`; codes and refresh tokens need `[users]`.",
            Who.CLIENT,
            "grant_type",
        ),
    },
)

RECORDS = Section(
    "Records",
    {
        Reason.IDENTITY_DENIED: Advice(
            "An operator denied this identity or its client.",
            "`bridge audit tail --event denied` says when and who; `bridge clients undeny ID` lets it in again.",
            Who.OPERATOR,
        ),
        Reason.CLIENT_ID_RESERVED: Advice(
            "The `client_id` that policy gives belongs to another kind of client, or to another trust domain.",
            "Give the rule another name for its shared client, or end the record that has it: `bridge clients show "
            "ID`.",
            Who.OPERATOR,
            "grant.client",
        ),
        Reason.APPROVAL_PENDING: Advice(
            'A rule with `effect = "ask"` matches, and no operator has approved this client for its terms.',
            "`bridge clients list --pending`, then `bridge clients approve ID --note WHY`.",
            Who.OPERATOR,
        ),
        Reason.REGISTRATION_CHANGED: Advice(
            "Between the decision and the write the record was revoked, denied or expired, more than once.",
            "Ask again.",
            Who.CLIENT,
        ),
        Reason.TOKEN_FOREIGN: Advice(
            "A client asked to revoke another client's token.",
            "Revoke it as the client that it was issued to.",
            Who.CLIENT,
        ),
        Reason.LIMIT_REACHED: Advice(
            "A limit on new things is used up; the answer (429) names it and says when to come again.",
            "Find out who registers so much (`bridge clients list`), or raise the limit that the answer names.",
            Who.OPERATOR,
            "limits",
        ),
    },
)
