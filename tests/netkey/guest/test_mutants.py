"""Every rule broken on purpose: some fate of it comes out otherwise."""

from __future__ import annotations

import os

import pytest

from tests.netkey import qemu
from tests.netkey.bed import Bed
from tests.netkey.breaks import Mutant
from tests.netkey.mutants import MUTANTS, judged

HAS_NFTABLES = qemu.TREE in os.environ


@pytest.mark.parametrize(
    "mutant", [pytest.param(m, id=m.name) for m in MUTANTS if HAS_NFTABLES or not m.nft]
)
def test_mutant(bed: Bed, mutant: Mutant) -> None:
    verdict = judged(mutant, bed)
    assert verdict.tried
    assert verdict.shown, "survived"
