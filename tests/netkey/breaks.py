"""Ways to break the mapping while it runs: functions and properties replaced for a while.

Each function here returns one that makes a context manager; inside it the mapping is broken.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

from eroute_translate import script_lines
from eroute_translate.mapping import associations, exemptions, mapper, translation
from eroute_translate.mapping.model import ALLOW, BLOCK, FWD, IN, OUT, Outcome, Step
from eroute_translate.mapping.protection import Protection
from eroute_translate.net import ALL_ONES, MASK_OF_LENGTH, Prefix, Selector
from eroute_translate.xfrm.model import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eroute_translate.mapping.model import Treatment

Break = contextlib.AbstractContextManager[Any]


class Mutant(NamedTuple):
    """What is broken, and the rules whose fates have to show it."""

    name: str
    rules: tuple[str, ...]
    broken: Callable[[], Break]
    nft: bool = False


def around(place: Any, name: str, change: Callable[..., Any]) -> Callable[[], Break]:
    """Replace a function by one that gets it first, and then its arguments."""
    original = getattr(place, name)

    def broken(*arguments: Any, **words: Any) -> Any:
        return change(original, *arguments, **words)

    return lambda: patch.object(place, name, broken)


def instead(place: Any, name: str, value: Any) -> Callable[[], Break]:
    return lambda: patch.object(place, name, value)


def both(*breaks: Callable[[], Break]) -> Callable[[], Break]:
    @contextlib.contextmanager
    def broken() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for one in breaks:
                stack.enter_context(one())
            yield

    return broken


def shunt(key: object, **changes: Any) -> Callable[[], Break]:
    """Another treatment for one shunt."""

    def change(original: Callable[..., Any], *given: Any, **words: Any) -> Any:
        shunts = original(*given, **words)
        return {**shunts, key: shunts[key]._replace(**changes)}

    return around(mapper, "shunt_treatments", change)


def protection(change: Callable[[Treatment], Treatment]) -> Callable[[], Break]:
    """Another treatment for all groups."""

    def changed(original: Callable[..., Any], *given: Any) -> Any:
        treatment = original(*given)
        return change(treatment) if treatment.steps else treatment

    return around(Protection, "_make", changed)


def steps(change: Callable[[Sequence[Step]], Sequence[Step]]) -> Callable[[], Break]:
    return protection(lambda t: t._replace(steps=tuple(change(t.steps))))


def all_steps(**changes: Any) -> Callable[[], Break]:
    return steps(lambda old: [step._replace(**changes) for step in old])


def printed(change: Callable[[], Break]) -> Callable[[], Break]:
    """A change that the lines show too which are else printed from parts, past the policies."""
    return both(change, instead(script_lines, "_is_plain", lambda _selector: False))


def _outcome(name: str, value: property) -> Callable[[], Break]:
    return printed(instead(Outcome, name, value))


def policies(
    change: Callable[[Outcome, Sequence[Policy]], Sequence[Policy]],
) -> Callable[[], Break]:
    """Other policies for every eroute."""
    made: Callable[[Outcome], Any] = Outcome.__dict__["policies"].fget
    return _outcome("policies", property(lambda o: tuple(change(o, made(o)))))


def each_policy(change: Callable[[Policy], Policy]) -> Callable[[], Break]:
    return policies(lambda _, old: [change(policy) for policy in old])


def without(unwanted: Callable[[Policy], bool]) -> Callable[[], Break]:
    return policies(lambda _, old: [policy for policy in old if not unwanted(policy)])


def templates(
    change: Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, Any]],
) -> Callable[[], Break]:
    """Other templates, outbound and inbound."""
    made: Callable[[Outcome], Any] = Outcome.__dict__["templates"].fget
    return _outcome("templates", property(lambda o: change(*made(o))))


def turned(template: Any) -> Any:
    return template._replace(source=template.destination, destination=template.source)


def own_flows(keep: Callable[[Selector], bool]) -> Callable[[], Break]:
    """Only a part of the host's own traffic."""

    def change(original: Callable[..., Any], *given: Any) -> Any:
        return [flow for flow in original(*given) if keep(flow)]

    return around(exemptions, "_ike_flows", change)


def shields(name: str, keep: Callable[[Any], bool]) -> Callable[[], Break]:
    def change(original: Callable[..., Any], *given: Any, **words: Any) -> Any:
        return tuple(shield for shield in original(*given, **words) if keep(shield))

    return around(mapper, name, change)


def longer(prefix: Prefix) -> Prefix:
    """Half of the prefix: the lower one, in which few of the bed's addresses lie."""
    length = prefix.mask.bit_count()
    if length in (0, ALL_ONES[prefix.family].bit_count()):
        return prefix
    # Not one bit alone: the addresses of the bed lie low in their networks.
    return prefix._replace(mask=MASK_OF_LENGTH[prefix.family][length + 8])


def wider(prefix: Prefix) -> Prefix:
    length = max(prefix.mask.bit_count() - 8, 0)
    mask = MASK_OF_LENGTH[prefix.family][length]
    return Prefix(prefix.family, prefix.address & mask, mask)


def selectors(change: Callable[[Selector], Selector]) -> Callable[[], Break]:
    """Other selectors for every policy."""
    return each_policy(lambda policy: policy._replace(selector=change(policy.selector)))


def is_ours(policy: Policy) -> bool:
    return bool(policy.templates) or policy.action == BLOCK


def is_rule(*names: str) -> Callable[[Outcome], bool]:
    return lambda outcome: outcome.treatment.rule in names


def blocks_incoming(outcome: Outcome, old: Sequence[Policy]) -> Sequence[Policy]:
    if outcome.treatment.rule != "drop":
        return old
    mirrors = [p.selector.mirrored() for p in old if p.direction == OUT and p.action == BLOCK]
    return [*old, *(Policy(way, s, outcome.priority, BLOCK) for way in (IN, FWD) for s in mirrors)]


def order(change: Callable[[list[int]], list[int]]) -> Callable[[], Break]:
    def changed(original: Callable[..., Any], *given: Any, **words: Any) -> Any:
        result = original(*given, **words)
        return result._replace(order=change(list(result.order)))

    return around(translation, "decide", changed)


def loose_order(original: Callable[..., Any], eroutes: Any, *given: Any, **words: Any) -> Any:
    """By destination before source, as a longest match would have it."""
    result = original(eroutes, *given, **words)

    def key(position: int) -> tuple[int, int]:
        selector = eroutes[position].selector
        return -selector.destination.mask, -selector.source.mask

    return result._replace(order=sorted(result.order, key=key))


def options_with(name: str, value: Any) -> Callable[[], Break]:
    """The mapping as if an option had another value."""

    def change(original: Callable[..., Any], self: Any, options: Any, *given: Any) -> Any:
        original(self, dataclasses.replace(options, **{name: value}), *given)

    return around(mapper.Mapper, "__init__", change)


def keyed(change: Callable[[Any], Any]) -> Callable[[], Break]:
    """Other states."""

    def changed(original: Callable[..., Any], *given: Any) -> Any:
        return change(original(*given))

    return around(associations, "_state", changed)


def carried_with(name: str, value: Any) -> Callable[[], Break]:
    """The associations carried as if an option had another value."""

    def change(original: Callable[..., Any], host: Any, outcomes: Any, options: Any) -> Any:
        return original(host, outcomes, dataclasses.replace(options, **{name: value}))

    return around(translation, "carry_associations", change)


def let_through(original: Callable[..., Any], *given: Any) -> Any:
    """A treatment without templates that blocks lets pass instead."""
    treatment = original(*given)
    return treatment if treatment.steps else treatment._replace(action=ALLOW)


def another_code(original: Callable[..., Any], rule: Any) -> Any:
    """The ICMP error of another reason."""
    name = "host-unreachable" if rule.selector.family == 4 else "addr-unreachable"
    return original(rule).replace("admin-prohibited", name)


def bypassing(ways: Sequence[str]) -> Callable[[], Break]:
    """--bypass for these directions only."""

    def change(original: Callable[..., Any], *given: Any) -> Any:
        return [flow for flow in original(*given) if flow[0] in ways]

    return around(translation, "bypass_flows", change)


def routes_with(**changes: Any) -> Callable[[], Break]:
    """What the routes come to, without a part of it."""

    def change(original: Callable[..., Any], *given: Any) -> Any:
        return dataclasses.replace(original(*given), **changes)

    return around(translation, "scope_of", change)
