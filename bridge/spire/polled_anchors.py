"""What the server of an https_spiffe endpoint has to prove itself by (SPIFFE Federation section 5.2.2)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bridge.files.paths import TooLarge, read_bounded
from bridge.model.bundle import BundleHealth, TrustBundle
from bridge.model.errors import BridgeError
from bridge.model.polled_bundle import PolledBundle
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.bundle_files import parse_bundle_file, part_digest
from bridge.spire.parse import MAX_BUNDLE_BYTES, MalformedBundle
from bridge.spire.polling import PolledOptions, PollFailed, SpiffeEndpoint


def anchors_of(
    options: PolledOptions,
    before: PolledBundle,
    last: TrustBundle | None,
    held: Callable[[TrustDomain], TrustBundle],
) -> tuple[TrustBundle | None, str]:
    """The bundle to verify the server by, None for https_web; and the hex SHA-256 of the bootstrap bundle as it is.

    It is `last`, the last fetched bundle, of whatever age; the bootstrap bundle before there was one, and when its file
    holds another one than at the last good answer: an operator put that there. Without a bootstrap bundle it is the
    `held` one of the server's own trust domain, which is then another one. Raises: PollFailed.
    """
    endpoint = options.endpoint
    if not isinstance(endpoint, SpiffeEndpoint):
        return None, ""
    its_domain = endpoint.endpoint_id.trust_domain
    if endpoint.bootstrap is None:
        try:
            return held(its_domain), ""
        except BridgeError as error:
            raise PollFailed(BundleHealth.UNREACHABLE, "anchors", error.detail) from error
    raw, words = _read(endpoint.bootstrap)
    digest = before.bootstrap if raw is None else part_digest(raw, its_domain)
    is_own = its_domain == options.trust_domain
    if is_own and before.digest and last is not None and digest == before.bootstrap:
        return last, digest
    if raw is None:
        raise PollFailed(BundleHealth.UNREACHABLE, "anchors", words)
    try:
        return parse_bundle_file(raw, its_domain), digest
    except MalformedBundle as error:
        raise PollFailed(BundleHealth.UNREACHABLE, "anchors", f"{endpoint.bootstrap}: {error}") from error


def _read(path: Path) -> tuple[bytes | None, str]:
    """The bootstrap bundle's bytes, or why there are none."""
    try:
        return read_bounded(path, MAX_BUNDLE_BYTES), ""
    except OSError as error:
        return None, f"{path}: cannot be read ({error.strerror})"
    except TooLarge as error:
        return None, f"{path}: {error}"
