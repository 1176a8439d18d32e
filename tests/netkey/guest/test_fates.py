"""Every fate of docs/on-the-wire.md, sent over the bed."""

from __future__ import annotations

import os

import pytest

from tests.netkey import qemu
from tests.netkey.bed import Bed
from tests.netkey.every_rule import FATES
from tests.netkey.fates import Fate
from tests.netkey.observed import differences

HAS_NFTABLES = qemu.TREE in os.environ


@pytest.mark.parametrize(
    "fate",
    [pytest.param(f, id=f"{n}-{f.rule}") for n, f in enumerate(FATES) if HAS_NFTABLES or not f.nft],
)
def test_fate(bed: Bed, fate: Fate) -> None:
    """In both families, forwarded and sent by the gateway."""
    assert differences(fate, bed) == []
