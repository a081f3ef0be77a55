"""Uses of grants drawn by chance, by two stores over one database, held to a model that a reader can check by eye."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from bridge.model.authorization import GrantUse
from bridge.model.errors import GrantSpent
from bridge.store.ports import Ensured, Store
from tests.contract.flows import CODE_UNTIL, give, grant, rotation, spend
from tests.contract.places import Place
from tests.contract.records import API, NOW, OTHER, ensure

STEPS, GRANTS, LIFE = 600, 12, 90
ACTORS = (API, OTHER, None)


@dataclass
class Model:
    """A grant as anybody would keep it in their head."""

    began_by: str | None
    redeemer: str | None = None
    is_redeemed: bool = False
    is_ended: bool = False
    in_force: int = 0
    good_until: int = 0
    lives_until: int = 0

    def allows(self, use: GrantUse, now: int) -> bool:
        if self.is_ended or now >= self.lives_until:
            return False
        if use.redeems_code:
            return not self.is_redeemed and now < CODE_UNTIL and self.began_by in (None, use.actor)
        has_token = self.is_redeemed and self.in_force > 0 and now < self.good_until
        return has_token and use.generation == self.in_force and use.actor == self.redeemer

    def use(self, use: GrantUse) -> None:
        if use.redeems_code:
            self.is_redeemed, self.redeemer = True, use.actor
        self.in_force, self.good_until = use.next_generation, use.refresh_expires_at or 0
        self.lives_until = max(self.lives_until, use.ends_at)


class Run:
    """One sequence of uses."""

    def __init__(self, seed: int, stores: tuple[Store, Store]) -> None:
        self._chance, self._stores = random.Random(seed), stores
        self._client: Ensured = ensure(stores[0].clients)
        self._models = []
        self.now = NOW
        self.allowed = 0
        for number in range(GRANTS):
            began_by = self._chance.choice(ACTORS)
            give(stores[0], grant(number, actor=began_by, ends_at=NOW + LIFE))
            self._models.append(Model(began_by, lives_until=NOW + LIFE))

    def step(self) -> None:
        number = self._chance.randrange(GRANTS)
        model, store = self._models[number], self._chance.choice(self._stores)
        self.now += self._chance.choice((0,) * 9 + (1,))
        if self._chance.random() < 0.01:
            assert store.grants.end(grant(number).grant_id, event=None, now=self.now) is not model.is_ended
            model.is_ended = True
        use = self._use(number, model)
        expected = model.allows(use, self.now)
        try:
            spend(store, self._client, use, now=self.now)
        except GrantSpent:
            assert not expected, (use, model, self.now)
        else:
            assert expected, (use, model, self.now)
            model.use(use)
            self.allowed += 1
        found = self._stores[0].grants.get(use.grant_id)
        assert found is not None
        said = found.generation, found.refresh_expires_at or 0, found.ends_at, found.ended_at is not None
        assert said == (model.in_force, model.good_until, model.lives_until, model.is_ended)

    def _use(self, number: int, model: Model) -> GrantUse:
        """Mostly one that could be right."""
        chance = self._chance
        generation = max(0, model.in_force + chance.choice((0, 0, 0, 0, -1, 1)))
        refreshable = chance.random() < 0.98
        actor = chance.choice((model.redeemer if model.is_redeemed else model.began_by,) * 4 + ACTORS)
        return rotation(
            grant(number),
            generation,
            redeems_code=chance.random() < (0.1 if model.is_redeemed else 0.8),
            next_generation=max(1, generation + chance.choice((0, 1))) if refreshable else 0,
            refresh_expires_at=self.now + chance.choice((10, 30, 60)) if refreshable else None,
            ends_at=self.now + chance.choice((30, 60, 120)),
            actor=actor,
        )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_is_tried_a_grant_is_used_as_the_model_says(store: Store, place: Place, seed: int) -> None:
    """T-33, OAS-14, OAS-15."""
    run = Run(seed, (store, place.open()))
    for _ in range(STEPS):
        run.step()
    assert run.allowed > STEPS / 10, "chance found enough that is allowed"
