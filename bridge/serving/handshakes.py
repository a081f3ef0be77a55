"""Why TLS handshakes fail, as words of a closed list: they are metric labels, and whoever connects could otherwise
choose among all that a library has to say, now and in its later releases."""

from __future__ import annotations

import ssl

# What OpenSSL says of a client's certificate (`openssl verify` has the list), as far as it happens here.
_CERTIFICATE = frozenset(
    {
        "unable_to_get_issuer_certificate",
        "unable_to_get_local_issuer_certificate",
        "unable_to_verify_the_first_certificate",
        "self-signed_certificate",
        "self-signed_certificate_in_certificate_chain",
        "certificate_signature_failure",
        "certificate_chain_too_long",
        "unsuitable_certificate_purpose",
        "invalid_ca_certificate",
        "invalid_or_inconsistent_certificate_extension",
        "unhandled_critical_extension",
        "path_length_constraint_exceeded",
        "permitted_subtree_violation",
        "excluded_subtree_violation",
        "ee_certificate_key_too_weak",
        "ca_certificate_key_too_weak",
        "ca_signature_digest_algorithm_too_weak",
    }
)
# What it says of the rest.
_PROTOCOL = frozenset(
    {
        "http_request",
        "wrong_version_number",
        "unsupported_protocol",
        "version_too_low",
        "no_shared_cipher",
        "no_suitable_signature_algorithm",
        "no_suitable_key_share",
        "certificate_verify_failed",
        "bad_signature",
        "length_mismatch",
        "record_layer_failure",
        "unexpected_message",
        "unexpected_eof_while_reading",
        "decryption_failed_or_bad_record_mac",
        "excessive_message_size",
        "sslv3_alert_bad_certificate",
        "sslv3_alert_certificate_unknown",
        "sslv3_alert_handshake_failure",
        "ssl/tls_alert_bad_certificate",
        "ssl/tls_alert_certificate_unknown",
        "ssl/tls_alert_handshake_failure",
        "tlsv1_alert_unknown_ca",
        "tlsv1_alert_protocol_version",
        "tlsv1_alert_decode_error",
        "tlsv1_alert_internal_error",
        "tlsv13_alert_certificate_required",
    }
)
CERTIFICATE_OTHER, PROTOCOL_OTHER = "certificate_other", "tls_other"
NO_CERTIFICATE, TIMEOUT, CLOSED = "no_certificate", "timeout", "closed"
FAULTS = frozenset({*_CERTIFICATE, *_PROTOCOL, CERTIFICATE_OTHER, PROTOCOL_OTHER, NO_CERTIFICATE, TIMEOUT, CLOSED})


class NoCertificate(ConnectionAbortedError):
    """This listener has no certificate yet."""


def handshake_fault(error: OSError | ValueError, *, timed_out: bool) -> str:
    """Why a handshake ended: one of `FAULTS`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = str(error.verify_message).lower().replace(" ", "_")
        return said if said in _CERTIFICATE else CERTIFICATE_OTHER
    if isinstance(error, ssl.SSLError):
        said = str(error.reason or "").lower().replace(" ", "_")
        return said if said in _PROTOCOL else PROTOCOL_OTHER
    if isinstance(error, NoCertificate):
        return NO_CERTIFICATE
    return TIMEOUT if timed_out else CLOSED
