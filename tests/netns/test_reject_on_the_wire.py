"""Fates that take nftables for IP, which the user-mode guest has not: on the running kernel.

They need neither ESP nor AH, and the bed's hosts are namespaces like those of the tests beside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.netkey.bed import Bed
from tests.netkey.breaks import Mutant
from tests.netkey.every_rule import FATES
from tests.netkey.mutants import MUTANTS, judged
from tests.netkey.observed import differences

from .spaces import namespaces, need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netkey.fates import Fate

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    need("dash", "nft")
    with namespaces("probe"):  # says aloud where there are none
        pass
    with Bed() as made:
        yield made


@pytest.mark.parametrize(
    "fate", [pytest.param(f, id=f"{n}-{f.rule}") for n, f in enumerate(FATES) if f.nft]
)
def test_fate(bed: Bed, fate: Fate) -> None:
    assert differences(fate, bed) == []


@pytest.mark.parametrize("mutant", [pytest.param(m, id=m.name) for m in MUTANTS if m.nft])
def test_mutant(bed: Bed, mutant: Mutant) -> None:
    verdict = judged(mutant, bed)
    assert verdict.tried
    assert verdict.shown, "survived"
