"""Reasons of the code flow, of the pages that people see, of fetches, and of the service itself."""

from __future__ import annotations

from bridge.advice.entry import Advice, Section, Who
from bridge.model.reasons import Reason

CODE_FLOW = Section(
    "The code flow",
    {
        Reason.REQUEST_URI: Advice(
            "The `request_uri` is unknown, older than a minute, used, another client's, or has parameters beside it.",
            "Push the request anew and go to `/authorize` at once, with `client_id` and `request_uri` alone.",
            Who.CLIENT,
            "request_uri",
        ),
        Reason.REDIRECT_URI_MISMATCH: Advice(
            "`redirect_uri` is none of this client's, or at `/token` not the one of the code.",
            "Send a redirect URI of the rule or document, character by character; on loopback the port is free.",
            Who.CLIENT,
            "redirect_uri",
        ),
        Reason.RESPONSE_TYPE: Advice("`response_type` is not `code`.", "Send `response_type=code`.", Who.CLIENT),
        Reason.CODE_CHALLENGE: Advice(
            "`code_challenge` is missing, malformed, or not made with S256.",
            "Send `code_challenge_method=S256` and base64url(SHA-256(verifier)), 43 characters.",
            Who.CLIENT,
            "code_challenge",
        ),
        Reason.CODE_VERIFIER: Advice(
            "`code_verifier` is missing, malformed, or not the one whose hash was pushed.",
            "Send the verifier of this very request.",
            Who.CLIENT,
            "code_verifier",
        ),
        Reason.PAR_REQUIRED: Advice(
            "Plain parameters at `/authorize` from a client that has to push them first.",
            "Push the request to `/par`, and go to `/authorize` with its `request_uri`.",
            Who.CLIENT,
            "grant.require_par",
        ),
        Reason.GRANT_UNKNOWN: Advice(
            "The code or refresh token is none of this service's.",
            "Send it whole; if it was, the user has to be asked anew.",
            Who.CLIENT,
        ),
        Reason.GRANT_ENDED: Advice(
            "The grant is over: the code or refresh token is too old, the user ended it, the client was registered "
            "anew, or the rules leave nothing of it.",
            "Ask the user anew.",
            Who.CLIENT,
            "grant.refresh_ttl",
        ),
        Reason.GRANT_FOREIGN: Advice(
            "The code or refresh token belongs to another client, another SPIFFE ID or another DPoP key.",
            "Redeem it as who asked for it, with the same key.",
            Who.CLIENT,
        ),
        Reason.GRANT_REUSED: Advice(
            "A code or refresh token came a second time, and the grant with all its tokens was ended for it.",
            "Find out who has the copy: `bridge audit export | grep GRANT` with the grant of the row's `jti`. "
            "Clients that repeat a request do this too.",
            Who.OPERATOR,
        ),
        Reason.GRANT_SPENT: Advice(
            "Of two requests with one code or refresh token the other one won.", "Send each of them once.", Who.CLIENT
        ),
        Reason.ACCESS_DENIED: Advice("The user pressed Deny.", "Nothing: that is the answer.", Who.NOBODY),
    },
)

PEOPLE = Section(
    "Who approves",
    {
        Reason.FORM_TOKEN: Advice(
            "A form came from another page, browser, session or site than the one it was shown in.",
            "Go back to the application and start again.",
            Who.USER,
        ),
        Reason.SIGN_IN_STALE: Advice(
            "This browser has no such sign-in under way: older than ten minutes, finished, or another browser's.",
            "Go back to the application and start again.",
            Who.USER,
        ),
        Reason.SIGN_IN_REJECTED: Advice(
            "What the login provider answered does not hold: its ID token, its state, or its issuer.",
            "Compare `[users] issuer` and `client_id` with the provider; `bridge check` asks it.",
            Who.OPERATOR,
            "users.issuer",
        ),
        Reason.SIGN_IN_UNAVAILABLE: Advice(
            "The login provider does not answer, or not sensibly.",
            "`bridge check` asks it as a sign-in would, and says what is wrong.",
            Who.OPERATOR,
            "users.issuer",
        ),
    },
)

CONSOLE = Section(
    "The operators' console",
    {
        Reason.CONSOLE_HOST: Advice(
            "A request to the console came under a name that is not the console's: another forwarding, or a page that "
            "wants to reach it by its own name.",
            "Use the name of `[console] url`; of a Unix socket `http://localhost:PORT`, as `ssh -L` forwards it.",
            Who.OPERATOR,
            "console.url",
        ),
        Reason.CONSOLE_OPERATOR: Advice(
            "Whoever came to the console is none of its operators, or shows no credential that says who it is.",
            "Add the SPIFFE ID to `[console] operators`, or the person's `sub` to `[console] subjects`.",
            Who.OPERATOR,
            "console.operators",
        ),
    },
)

FETCHES = Section(
    "Outbound fetches",
    {
        Reason.DOCUMENT_REFUSED: Advice(
            "A client's metadata document or key set is not acceptable: not found, redirected, too large, at a "
            "forbidden address, not about this client, or not of its form.",
            "Mend the document; `bridge clients approve URL` fetches it as the service does, and says what is wrong.",
            Who.CLIENT,
        ),
        Reason.FETCH_FAILED: Advice(
            "The host of a document or key set does not answer, and no copy may be used any more.",
            "See whether this machine reaches the host: DNS, firewall, certificate (`[fetch] ca_file`).",
            Who.OPERATOR,
            "fetch",
        ),
        Reason.FETCH_BUSY: Advice(
            "So many fetches wait already that one more has no place.",
            "Raise `outbound_fetches`, or find out whose host is slow (`bridge_outbound_fetches_total`).",
            Who.OPERATOR,
            "limits.outbound_fetches",
        ),
    },
)

SERVICE = Section(
    "The service itself",
    {
        Reason.STORE_UNAVAILABLE: Advice(
            "The database does not answer, is locked by something else, or is full. Nothing was written.",
            "Look at the disk and at who else has the file open; `bridge check` says whether it is sound.",
            Who.OPERATOR,
            "store.url",
        ),
        Reason.KEYS_UNAVAILABLE: Advice(
            "No token signing key can be used.",
            "`bridge keys list` shows them; `bridge check` says whether the seal key opens them.",
            Who.OPERATOR,
            "keys.seal_file",
        ),
    },
)
