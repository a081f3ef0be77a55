"""Trust domains: what is trusted, how old it is, what is wrong with it, and each key by its names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from bridge.console.section import Desk, Glance, Route, Section, Standing
from bridge.console.services import ConsoleServices
from bridge.console.visits import Visit
from bridge.model.bundle import BundleHealth, BundleStatus
from bridge.spire.described_keys import describe_keys, digest_of
from bridge.web.lean import Response

PATH, ONE = "/trust", "/trust/domain"
PAGE = 100
_NAMED = 5
STANDINGS: Mapping[BundleHealth, Standing] = {
    BundleHealth.FRESH: Standing.FINE,
    BundleHealth.LATE: Standing.LOOK,
    **dict.fromkeys(
        (
            BundleHealth.STALE,
            BundleHealth.EMPTY,
            BundleHealth.MALFORMED,
            BundleHealth.UNREACHABLE,
            BundleHealth.SHARED,
        ),
        Standing.WRONG,
    ),
}
# What a workload of such a trust domain gets.
WORDS: Mapping[BundleHealth, str] = {
    BundleHealth.FRESH: "in order",
    BundleHealth.LATE: "its source was not heard of in time; the last good bundle is in force",
    BundleHealth.STALE: "too old to go by: its workloads get 503",
    BundleHealth.EMPTY: "trusts no key: its workloads get 401",
    BundleHealth.MALFORMED: "never read well: its workloads get 503",
    BundleHealth.UNREACHABLE: "never reached: its workloads get 503",
    BundleHealth.SHARED: "shares a key with another trust domain: workloads of both get 503",
}


def _worst_first(status: BundleStatus) -> tuple[int, str]:
    order = (Standing.WRONG, Standing.LOOK, Standing.FINE)
    return order.index(STANDINGS[status.health]), status.trust_domain.name


def glance(services: ConsoleServices, now: int) -> Glance:
    """All trust domains in one line."""
    statuses = sorted(services.bundles(now), key=_worst_first)
    if not statuses:
        return Glance(Standing.WRONG, "none is configured: no workload can come")
    counts = Counter(status.health for status in statuses)
    words = ", ".join(f"{number} {health.value}" for health, number in counts.most_common())
    off = [status for status in statuses if status.health is not BundleHealth.FRESH]
    return Glance(
        STANDINGS[statuses[0].health],
        words,
        [f"{one.trust_domain}: {one.reason or WORDS[one.health]}" for one in off[:_NAMED]],
    )


class TrustPages:
    """The pages of them. Each worker follows its sources by itself; these are the words of the one that answers."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._services = desk, desk.services

    def list(self, visit: Visit) -> Response:
        """GET: all of them, those first that need somebody."""
        query = visit.query()
        wanted = query.get("name") or ""
        skip = _number(query.get("skip"))
        found = [one for one in self._services.bundles(visit.now) if wanted in one.trust_domain.name]
        found.sort(key=_worst_first)
        onward = {"name": wanted, "skip": str(skip + PAGE)}
        return self._desk.show(
            visit,
            "trust.html",
            lines=[(one, STANDINGS[one.health], self._link(one)) for one in found[skip : skip + PAGE]],
            places=self._services.places,
            words=WORDS,
            wanted=wanted,
            number=len(found),
            onward=f"{PATH}?{urlencode(onward)}" if len(found) > skip + PAGE else None,
            begun=skip > 0,
        )

    def show(self, visit: Visit) -> Response:
        """GET: one of them, with each of its keys."""
        name = visit.query().require("name")
        status = next((one for one in self._services.bundles(visit.now) if one.trust_domain.name == name), None)
        bundle = None if status is None else status.bundle
        return self._desk.show(
            visit,
            "trust_domain.html",
            status=200 if status is not None else 404,
            name=name,
            bundle_status=status,
            standing=None if status is None else STANDINGS[status.health],
            words=WORDS,
            place=self._services.places.get(name, ""),
            keys=[] if bundle is None else describe_keys(bundle),
            digest=None if bundle is None else digest_of(bundle),
        )

    def _link(self, status: BundleStatus) -> str:
        return f"{ONE}?{urlencode({'name': status.trust_domain.name})}"


def _number(text: str | None) -> int:
    """A number of lines to pass over; none for what is none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0


def _routes(desk: Desk) -> Sequence[Route]:
    own = TrustPages(desk)
    return (
        Route(PATH, "console_trust", {"GET": own.list}),
        Route(ONE, "console_trust_domain", {"GET": own.show}),
    )


SECTION = Section("Trust domains", PATH, _routes, glance)
