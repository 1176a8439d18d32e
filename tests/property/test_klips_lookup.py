"""The radix table against a slow model that follows the words of docs/klips.md."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from eroute_translate.klips.lookup import ExistsError, MissingError, RadixTable, Row

BITS = 6
FULL = (1 << BITS) - 1


class Model:
    """The procedure word by word: no tree, no sorting, single bits."""

    def __init__(self) -> None:
        self.chains: dict[int, list[tuple[int, int]]] = {}
        self.masks: list[int] = []

    @staticmethod
    def refines(one: int, other: int) -> bool:
        more = [b for b in range(BITS) if one >> b & 1 and not other >> b & 1]
        missing = [b for b in range(BITS) if other >> b & 1 and not one >> b & 1]
        return bool(more) and not missing

    def add(self, key: int, mask: int, identity: int) -> bool:
        chain = self.chains.setdefault(key, [])
        for at, (other, _) in enumerate(chain):
            if other == mask:
                return False
            if self.refines(mask, other):
                chain.insert(0 if at == 0 else at + 1, (mask, identity))
                break
        else:
            chain.append((mask, identity))
        if mask not in self.masks:
            place = [i for i, other in enumerate(self.masks) if self.refines(mask, other)]
            self.masks.insert(place[0] if place else len(self.masks), mask)
        return True

    def delete(self, key: int, mask: int) -> bool:
        chain = self.chains.get(key, [])
        if not chain:
            return False
        hits = [item for item in chain if item[0] == mask]
        if len(chain) > 1 and not hits:
            return False
        gone = hits[0] if len(chain) > 1 else chain[0]
        chain.remove(gone)
        if not chain:
            del self.chains[key]
        if all(gone[0] != m for c in self.chains.values() for m, _ in c):
            self.masks.remove(gone[0])
        return True

    def match(self, packet: int) -> int | None:
        keys = set(self.chains)
        if not keys:
            return None
        for bit in range(BITS - 1, -1, -1):
            side = {k for k in keys if k >> bit & 1 == packet >> bit & 1}
            if side and side != keys:
                keys = side
        (leaf,) = keys
        if leaf == packet:
            return self.chains[leaf][0][1]
        for mask, identity in self.chains[leaf]:
            if (packet ^ leaf) & mask == 0:
                return identity
        for mask in self.masks:
            for other, identity in self.chains.get(packet & mask, []):
                if other == mask:
                    return identity
        return None


OPERATIONS = st.lists(
    st.tuples(st.booleans(), st.integers(0, FULL), st.integers(0, FULL)), max_size=14
)


@settings(max_examples=300, deadline=None)
@given(OPERATIONS)
def test_every_packet_of_every_table(operations: list[tuple[bool, int, int]]) -> None:
    """All 64 packets after any additions and deletions, host bits and holes included."""
    model, radix = Model(), RadixTable(4)
    for identity, (deleting, key, mask) in enumerate(operations):
        if deleting:
            done = model.delete(key, mask)
            try:
                radix.delete(Row(key, mask))
            except MissingError:
                assert not done
            else:
                assert done
        else:
            done = model.add(key, mask, identity)
            try:
                radix.add(Row(key, mask), identity)
            except ExistsError:
                assert not done
            else:
                assert done
    for packet in range(FULL + 1):
        assert radix.match(packet).winner == model.match(packet)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, FULL), st.integers(0, FULL)), max_size=8))
def test_a_dump_leaves_open_what_the_order_decides(rows: list[tuple[int, int]]) -> None:
    """The answer of a table is among those that its dump allows."""
    radix = RadixTable(4)
    known: dict[int, Row] = {}
    for identity, (key, mask) in enumerate(rows):
        row = Row(key & mask, mask)
        try:
            radix.add(row, identity)
        except ExistsError:
            continue
        known[identity] = row
    dump = RadixTable.from_dump(4, [(known[i], i) for i in radix.printed()])
    for packet in range(FULL + 1):
        found = radix.match(packet).winner
        possible = dump.possible(packet)
        assert (found in possible) if found is not None else not possible
