"""Many policies and states at once: installed, removed, exchanged, listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NoReturn

from .decode import decode_policies
from .encode import encode_installs, encode_questions, encode_removals
from .errors import hint_for
from .link import ANSWER_BYTES, Answers, Link, with_ack
from .model import Policy, State
from .outcome import BrokenError, BulkError, Failure, MeanwhileError, Report
from .sieve import Sieve
from .state_wire import (
    decode_states,
    encode_state_dump,
    encode_state_removals,
    encode_states,
    name_of,
)

POLICY_BYTES: Final = 5120
"""Room that a policy takes which is an answer, at most: a page and its head."""


class Channel(Link):
    """A connection to XFRM for many policies and states at once."""

    # ---- policies

    def install(
        self,
        policies: Sequence[Policy],
        *,
        replace: bool = True,
        seconds: int = 0,
        exact: bool = False,
    ) -> None:
        """Create policies, or with ``replace`` create or replace them.

        With ``seconds`` the kernel removes them after that time.  Raises :class:`BulkError` after
        the first block with a policy that the kernel refused, or when the connection breaks, and
        ``ValueError`` for what XFRM cannot hold, before anything of its block is sent.
        """

        def encode(part: Sequence[Policy], sequence: int) -> list[bytes]:
            return encode_installs(
                part, sequence, replace=replace, seconds=seconds, exact=exact, spread=True
            )

        verb = "install" if replace else "add"
        _require(verb, policies, self.run(policies, encode, asked=verb))

    def remove(self, policies: Sequence[Policy], *, exact: bool = False) -> None:
        """Remove policies, by index where they have one; a missing one is an error, ENOENT."""

        def encode(part: Sequence[Policy], sequence: int) -> list[bytes]:
            return encode_removals(part, sequence, exact=exact)

        _require("remove", policies, self.run(policies, encode, asked="remove"))

    def exchange(
        self, changes: Sequence[tuple[Policy | None, Policy | None]], *, by_index: bool = False
    ) -> None:
        """Add (no old), replace, or remove (no new) policies, if the old ones are what is there.

        The kernel cannot compare and exchange, but carries out one send without letting another
        process in between (net/xfrm/xfrm_user.c:xfrm_netlink_rcv holds a mutex).  So a question
        stands before each change, and its answer is what the change displaced.  Where that is not
        ``old``, counters aside, it is put back at once.  Raises :class:`MeanwhileError` after
        that, :class:`BulkError` after the first block with a change that was refused.

        With ``by_index`` a policy is replaced by removing it by its index and adding the new one,
        which is much quicker for many with prefixes that the kernel does not hash; a packet may
        find none in between.
        """
        added = [new for old, new in changes if old is None and new is not None]
        if len(added) == len(changes):
            self.install(added, replace=False)
            return
        at = 0
        while at < len(changes):
            count = _that_fit(changes[at : at + self._block], self._block * ANSWER_BYTES)
            part = changes[at : at + count]
            displaced = self._exchange(part, at, len(changes), by_index=by_index)
            if displaced:
                self._put_back(displaced)
                raise MeanwhileError([theirs or ours for theirs, ours in displaced])
            at += len(part)

    def _exchange(
        self,
        part: Sequence[tuple[Policy | None, Policy | None]],
        at: int,
        total: int,
        *,
        by_index: bool,
    ) -> list[tuple[Policy | None, Policy]]:
        """Send one block; return what was displaced unseen, ``None`` for nothing, and by what."""
        count = len(part)
        asked, gone, first = self._take(count), self._take(count), self._take(count)
        block, sequences = _block_of(part, asked, gone, first, by_index=by_index)
        answers = Answers(asked, gone, count)
        failures: list[Failure] = []
        try:
            self._finish_dump()
            self._send(with_ack(block, sequences))
            self._read_acks(first, count, at, failures, answers)
        except BrokenError as error:
            report = Report(total, at, at + count, tuple(failures))
            hint = hint_for(error.number)
            noun = f"change {total} policies"
            raise BulkError(error.number, noun, report, str(error), hint) from error
        displaced, lost = _displaced(part, failures, at, answers, by_index=by_index)
        if failures:
            self.install(lost)
            self._put_back(displaced)
            old, new = part[failures[0].index - at]
            _refused("change", new or old, Report(total, at + count, at + count, tuple(failures)))
        return displaced

    def _put_back(self, displaced: Sequence[tuple[Policy | None, Policy]]) -> None:
        """Give others back what a change of ours displaced; ``None`` is: they had removed it."""
        self.install([theirs for theirs, _ in displaced if theirs is not None])
        self.remove([ours._replace(index=0) for theirs, ours in displaced if theirs is None])

    def dump(self) -> list[Policy]:
        """All policies of the namespace, those of sockets too; the newest first."""
        return list(self.each())

    def each(self) -> Iterator[Policy]:
        """The same one by one: for many policies of which few are kept."""
        for data in self._dump():
            yield from decode_policies(data)

    def datagrams(self) -> Iterator[bytes]:
        """The datagrams of a dump, as they come: for :mod:`.sieve`."""
        return self._dump()

    # ---- states

    def install_states(self, states: Sequence[State]) -> None:
        """Create states; one that is there already is an error, EEXIST.

        Raises :class:`BulkError` with the state, and the algorithm or module that is missing, in
        its text; no key is in it.
        """
        self._states("add", states, encode_states)

    def remove_states(self, states: Sequence[State]) -> None:
        """Remove states; a missing one is an error, ESRCH."""
        self._states("remove", states, encode_state_removals)

    def _states(
        self,
        verb: str,
        states: Sequence[State],
        encode: Callable[[Sequence[State], int], Sequence[bytes]],
    ) -> None:
        report = self.run(states, encode, asked=verb, noun="states")
        if report.complete:
            return
        first = report.failures[0]
        state = states[first.index]
        algorithms = {"comp": state.compression}
        if state.encryption is not None:
            algorithms["crypt"] = algorithms["aead"] = state.encryption.name
        if state.authentication is not None:
            algorithms["auth"] = algorithms["auth_trunc"] = state.authentication.name
        hint = hint_for(
            first.errno,
            first.text,
            protocol=state.protocol,
            family=state.family,
            algorithms=algorithms,
        )
        raise BulkError(
            first.errno, f"{verb} the {name_of(state)}", report, first.text, hint, state
        )

    def dump_states(self) -> list[State]:
        """All states of the namespace, larval ones left out."""
        found: list[State] = []
        for data in self._dump(encode_state_dump):
            found += decode_states(data)
        return found


def _block_of(
    part: Sequence[tuple[Policy | None, Policy | None]],
    asked: int,
    gone: int,
    first: int,
    *,
    by_index: bool,
) -> tuple[list[bytes], list[int]]:
    """A question before each change that displaces something, then the change; and the numbers."""
    # Whatever stands in the place of one that is replaced is meant, unless by index.
    asks = [old if new is None or by_index else old._replace(index=0) for old, new in part if old]
    questions = iter(encode_questions(asks))
    removals = iter(encode_removals([old for old, new in part if old and (by_index or not new)]))
    updates = iter(encode_installs([new for old, new in part if old and new and not by_index]))
    adds = [new for old, new in part if new and (by_index or not old)]
    additions = iter(encode_installs(adds, replace=False))
    block: list[bytes] = []
    sequences: list[int] = []
    for number, (old, new) in enumerate(part):
        if old:
            block.append(next(questions))
            sequences.append(asked + number)
        if old and new and by_index:
            block.append(next(removals))
            sequences.append(gone + number)
        final = removals if not new else updates if old and not by_index else additions
        block.append(next(final))
        sequences.append(first + number)
    return block, sequences


def _displaced(
    part: Sequence[tuple[Policy | None, Policy | None]],
    failures: Sequence[Failure],
    at: int,
    answers: Answers,
    *,
    by_index: bool,
) -> tuple[list[tuple[Policy | None, Policy]], list[Policy]]:
    """What was displaced unseen, and by what; and what is gone without what was to follow it."""
    if not failures and _as_expected([old for old, _ in part if old], answers):
        return [], []
    refused = {failure.index - at for failure in failures}
    displaced: list[tuple[Policy | None, Policy]] = []
    lost: list[Policy] = []
    for number, (old, new) in enumerate(part):
        if old is None:
            continue
        answer = answers.found.get(number)
        theirs = None if answer is None else decode_policies(answer)[0]
        if number in refused:
            if by_index and new is not None and number not in answers.kept and theirs is not None:
                lost.append(theirs)
        elif theirs is None or theirs._replace(index=old.index) != old:
            displaced.append((theirs, new or old))
            if theirs is not None and new is not None and theirs.key != new.key:
                displaced.append((None, new))  # the index was another's, and our place was empty
    return displaced, lost


def _as_expected(expected: Sequence[Policy], answers: Answers) -> bool:
    """Whether the answers are what was expected, to the byte; that is nearly always so."""
    sieve = Sieve(expected)
    marks, others = sieve.sift(answers.found.values())
    return not others and len(answers.found) == len(sieve) == sum(marks)


def _that_fit(changes: Sequence[tuple[Policy | None, Policy | None]], room: int) -> int:
    """How many changes have answers that fit into the receive buffer, at least one."""
    for count, (old, _) in enumerate(changes):
        room -= ANSWER_BYTES if old is None else ANSWER_BYTES + POLICY_BYTES
        if room < 0:
            return max(1, count)
    return len(changes)


def _require(verb: str, policies: Sequence[Policy], report: Report) -> None:
    """Raise unless all was carried out."""
    if report.complete:
        return
    _refused(verb, policies[report.failures[0].index], report)


def _refused(verb: str, policy: Policy | None, report: Report) -> NoReturn:
    first = report.failures[0]
    asked = (
        f"{verb} a policy"
        if policy is None
        else f"{verb} the policy {policy.selector} {policy.direction}"
    )
    hint = hint_for(first.errno, first.text)
    raise BulkError(first.errno, asked, report, first.text, hint, policy)
