"""A kernel in memory: one policy for each key, the lowest priority wins, faults on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from eroute_translate.net import Packet
from eroute_translate.xfrm.encode import encode_installs
from eroute_translate.xfrm.lookup import lookup
from eroute_translate.xfrm.model import Policy, PolicyKey, State, StateKey


class Fault(Exception):  # noqa: N818 - thrown on purpose
    """What the kernel or the socket said."""


class FakeKernel:
    """Counts messages; ``trouble`` is asked before each and may raise."""

    def __init__(self, policies: Sequence[Policy] = (), states: Sequence[State] = ()) -> None:
        self.policies: dict[PolicyKey, Policy] = {p.key: p for p in policies}
        self.states: dict[StateKey, State] = {s.key: s for s in states}
        self.messages = 0
        self.trouble: Callable[[int], None] = lambda _number: None
        self.watch: Callable[[], None] = lambda: None

    def _message(self) -> None:
        self.messages += 1
        self.trouble(self.messages - 1)

    def each(self) -> Iterator[Policy]:
        self._message()
        return iter(list(self.policies.values()))

    def datagrams(self) -> Iterator[bytes]:
        self._message()
        yield b"".join(encode_installs(list(self.policies.values()), exact=True))

    def install(self, policies: Sequence[Policy], *, seconds: int = 0) -> None:  # noqa: ARG002
        for policy in policies:
            self._message()
            self.policies[policy.key] = policy
            self.watch()

    def exchange(
        self,
        changes: Sequence[tuple[Policy | None, Policy | None]],
        *,
        by_index: bool = False,  # noqa: ARG002
    ) -> None:
        for old, new in changes:
            self._message()
            policy = new or old
            assert policy is not None
            present = self.policies.get(policy.key)
            if (present is None) != (old is None) or (present and old and present != old):
                raise Fault("changed by somebody else")
            if new is None:
                del self.policies[policy.key]
            else:
                self.policies[policy.key] = new
            self.watch()

    def remove(self, policies: Sequence[Policy]) -> None:
        for policy in policies:
            self._message()
            del self.policies[policy.key]
            self.watch()

    def dump_states(self) -> list[State]:
        self._message()
        return list(self.states.values())

    def install_states(self, states: Sequence[State]) -> None:
        for state in states:
            self._message()
            if state.key in self.states:
                raise Fault("EEXIST")
            self.states[state.key] = state

    def remove_states(self, states: Sequence[State]) -> None:
        for state in states:
            self._message()
            del self.states[state.key]

    def clear(self, packet: Packet, direction: str = "out") -> bool:
        """Whether a packet goes out in clear now."""
        decision = lookup(list(self.policies.values()), direction, packet)
        return decision.winner is None or (decision.action == "allow" and not decision.templates)


class FakeFirewall:
    """A firewall table in memory."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.refuses = False

    def read(self) -> str:
        return self.text

    def load(self, text: str) -> None:
        if self.refuses and text != self.text:
            raise Fault("syntax error")
        self.text = text
