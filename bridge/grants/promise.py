"""A token that is signed while the row behind it is still on its way to the disk.

Nobody has it before it is kept: no audit row, no success. What this buys is that no thread has to stand
and wait for the disk: whoever answers requests has itself told, and answers then.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from bridge.grants.granter import Begun, Granter, IssuedToken
from bridge.model.errors import GrantSpent, RegistrationChanged
from bridge.registration.standing_still import ATTEMPTS


class PromisedToken:
    """What the grants give. `token` is not to be handed out before `result` returned it."""

    __slots__ = ("_begun", "_finish")

    def __init__(self, begun: Begun, finish: Callable[[Begun], IssuedToken]) -> None:
        self._begun, self._finish = begun, finish

    @property
    def token(self) -> IssuedToken:
        """The token that `result` gives when all goes well; another one when it had to be decided again."""
        return self._begun.token

    @property
    def is_kept(self) -> bool:
        """Whether the row is durable, so that `result` gives `token` at once."""
        return self._begun.write.is_durable

    def then(self, call: Callable[[], None]) -> None:
        """Have `call` called once, from any thread or at once, when `result` can say more than "wait". Not
        called when the store takes longer than a caller may wait: ask `result` then."""
        self._begun.write.then(call)

    def result(self) -> IssuedToken:
        """Wait for the row, and give the token. To be asked once.

        Raises: whatever can still refuse the request: CredentialReplayed, ProofRejected, Unavailable, and
        all errors of a new decision when the record had changed.
        """
        return self._finish(self._begun)


def promise(
    granter: Granter, begin: Callable[[bool], Begun], watch: Callable[[], AbstractContextManager[None]]
) -> PromisedToken:
    """The token that `begin` decides about and begins to write. It is asked again, with True for afresh, when the
    client's record or the grant turns out to have changed meanwhile.

    Both happen within a `watch`, which writes down who was refused. Raises: what `begin` raises.
    """
    with watch():
        begun = begin(False)

    def finish(begun: Begun) -> IssuedToken:
        with watch():
            for _ in range(ATTEMPTS - 1):
                try:
                    return granter.finish(begun)
                except (RegistrationChanged, GrantSpent):
                    begun = begin(True)
            return granter.finish(begun)

    return PromisedToken(begun, finish)
