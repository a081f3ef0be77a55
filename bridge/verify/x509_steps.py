"""The steps by which an X.509-SVID is verified, in the order of the specification (X509-SVID section 5; SCA 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509

from bridge.model.bundle import LiveBundle
from bridge.model.spiffe_id import SpiffeId
from bridge.model.steps import Step
from bridge.verify import x509_leaf, x509_svid
from bridge.verify.trust import Trust
from bridge.verify.x509_leaf import Leaf


@dataclass(slots=True)
class X509Case:
    """One certificate chain (DER, leaf first) on its way through the steps: as `JwtCase`."""

    chain: tuple[bytes, ...] = field(repr=False)
    now: int
    trust: Trust
    certificates: tuple[x509.Certificate, ...] = field(init=False)
    leaf: Leaf = field(init=False)
    spiffe_id: SpiffeId = field(init=False)
    live: LiveBundle = field(init=False)
    path: tuple[x509.Certificate, ...] = field(init=False)


def _form(case: X509Case) -> None:
    x509_svid.check_size(case.chain)
    case.certificates = x509_svid.parse_chain(case.chain)
    case.leaf = Leaf.of(case.certificates[0])


def _spiffe_id(case: X509Case) -> None:
    case.spiffe_id = x509_leaf.spiffe_id_of(case.leaf)


def _of_leaf(rule: Callable[[Leaf], None]) -> Callable[[X509Case], None]:
    return lambda case: rule(case.leaf)


def _trust_domain(case: X509Case) -> None:
    case.trust.rules(case.spiffe_id.trust_domain)


def _bundle(case: X509Case) -> None:
    case.live = case.trust.live(case.spiffe_id.trust_domain, case.now)


def _times(case: X509Case) -> None:
    x509_svid.check_validity(case.leaf, case.now)


def _chain(case: X509Case) -> None:
    case.path = x509_svid.build_path(case.leaf, case.certificates[1:], case.trust.anchors(case.live), case.now)


X509_STEPS: tuple[Step[X509Case], ...] = (
    Step("form", _form),
    Step("spiffe-id", _spiffe_id, ("form",)),
    *(Step(f"leaf-{name}", _of_leaf(rule), ("form",)) for name, rule in x509_leaf.RULES),
    Step("trust-domain", _trust_domain, ("spiffe-id",)),
    Step("bundle", _bundle, ("trust-domain",)),
    Step("times", _times, ("form",)),
    Step("chain", _chain, ("bundle",)),
)
