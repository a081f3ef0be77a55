"""The closed lists of refusal reasons. Each is a value in audit rows, logs and metric labels."""

from enum import StrEnum


class Reason(StrEnum):
    """Why something was refused. Values are stable: dashboards and replays name them."""

    # the request
    REPEATED_PARAMETER = "repeated_parameter"
    MALFORMED_REQUEST = "malformed_request"
    CREDENTIALS_MIXED = "credentials_mixed"
    ASSERTION_PAIR = "assertion_pair_incomplete"
    # which credential
    CREDENTIAL_MISSING = "credential_missing"
    CREDENTIAL_UNSUPPORTED = "credential_unsupported"
    CREDENTIAL_TOO_LARGE = "credential_too_large"
    CREDENTIAL_MALFORMED = "credential_malformed"
    CERTIFICATE_HEADER = "certificate_header"
    CREDENTIAL_REPLAYED = "credential_replayed"
    CLIENT_ID_MISSING = "client_id_missing"
    CLIENT_ID_MISMATCH = "client_id_mismatch"
    # SPIFFE IDs and trust domains
    SPIFFE_ID_INVALID = "spiffe_id_invalid"
    TRUST_DOMAIN_UNKNOWN = "trust_domain_unknown"
    BUNDLE_EMPTY = "bundle_empty"
    BUNDLE_UNAVAILABLE = "bundle_unavailable"
    BUNDLE_SHARED = "bundle_shared"
    # JWT-SVID
    JWT_HEADER = "jwt_header"
    JWT_ALGORITHM = "jwt_algorithm"
    JWT_TYPE = "jwt_type"
    JWT_CLAIMS = "jwt_claims"
    JWT_AUDIENCE = "jwt_audience"
    JWT_EXPIRED = "jwt_expired"
    JWT_NOT_YET_VALID = "jwt_not_yet_valid"
    JWT_LIFETIME = "jwt_lifetime"
    JWT_ISSUER = "jwt_issuer"
    JWT_KEY_UNKNOWN = "jwt_key_unknown"
    JWT_KEY_AMBIGUOUS = "jwt_key_ambiguous"
    JWT_KEY_UNFIT = "jwt_key_unfit"
    JWT_SIGNATURE = "jwt_signature"
    # X.509-SVID
    X509_LEAF = "x509_leaf"
    X509_KEY = "x509_key"
    X509_PATH = "x509_path"
    X509_EXPIRED = "x509_expired"
    X509_NOT_YET_VALID = "x509_not_yet_valid"
    # DPoP
    DPOP_MALFORMED = "dpop_malformed"
    DPOP_MISMATCH = "dpop_mismatch"
    DPOP_STALE = "dpop_stale"
    DPOP_NONCE = "dpop_nonce"
    DPOP_REPLAYED = "dpop_replayed"
    # software statements, metadata, client assertions, registration tokens
    STATEMENT_MISSING = "statement_missing"
    STATEMENT_ISSUER = "statement_issuer"
    STATEMENT_LIFETIME = "statement_lifetime"
    METADATA_INVALID = "metadata_invalid"
    REDIRECT_URI_INVALID = "redirect_uri_invalid"
    KEY_FOREIGN = "key_foreign"
    CLIENT_UNKNOWN = "client_unknown"
    LEASE_ENDED = "lease_ended"
    ASSERTION_CLAIMS = "assertion_claims"
    ASSERTION_KEY = "assertion_key"
    REGISTRATION_TOKEN = "registration_token"
    MANAGEMENT_FORBIDDEN = "management_forbidden"
    # the code flow
    REQUEST_URI = "request_uri"
    REDIRECT_URI_MISMATCH = "redirect_uri_mismatch"
    RESPONSE_TYPE = "response_type"
    CODE_CHALLENGE = "code_challenge"
    CODE_VERIFIER = "code_verifier"
    PAR_REQUIRED = "par_required"
    GRANT_UNKNOWN = "grant_unknown"
    GRANT_ENDED = "grant_ended"
    GRANT_FOREIGN = "grant_foreign"
    GRANT_REUSED = "grant_reused"
    GRANT_SPENT = "grant_spent"
    ACCESS_DENIED = "access_denied"
    # who approves
    FORM_TOKEN = "form_token"
    SIGN_IN_STALE = "sign_in_stale"
    SIGN_IN_REJECTED = "sign_in_rejected"
    SIGN_IN_UNAVAILABLE = "sign_in_unavailable"
    # the operators' console
    CONSOLE_HOST = "console_host"
    CONSOLE_OPERATOR = "console_operator"
    # policy
    POLICY_NO_RULE = "policy_no_rule"
    POLICY_DENY_RULE = "policy_deny_rule"
    POLICY_GRANT_TYPE = "policy_grant_type"
    POLICY_SCOPE = "policy_scope"
    POLICY_RESOURCE = "policy_resource"
    POLICY_PROOF = "policy_proof"
    GRANT_TYPE_UNSUPPORTED = "grant_type_unsupported"
    # registration
    IDENTITY_DENIED = "identity_denied"
    CLIENT_ID_RESERVED = "client_id_reserved"
    APPROVAL_PENDING = "approval_pending"
    REGISTRATION_CHANGED = "registration_changed"
    TOKEN_FOREIGN = "token_foreign"
    LIMIT_REACHED = "limit_reached"
    # outbound fetches
    DOCUMENT_REFUSED = "document_refused"
    FETCH_FAILED = "fetch_failed"
    FETCH_BUSY = "fetch_busy"
    # the service itself
    STORE_UNAVAILABLE = "store_unavailable"
    KEYS_UNAVAILABLE = "keys_unavailable"


class ServerReason(StrEnum):
    """Why the server refused a request before any endpoint saw it: in logs and metric labels, where the door is
    `server`, and in no audit row."""

    MALFORMED = "malformed"
    FRAMING = "framing"
    HEAD_TOO_LARGE = "head_too_large"
    BODY_TOO_LARGE = "body_too_large"
    HEAD_TOO_SLOW = "head_too_slow"
    BODY_TOO_SLOW = "body_too_slow"
    QUEUE_FULL = "queue_full"
    WAITED_TOO_LONG = "waited_too_long"
    FAILED = "failed"
