"""The firewall rules that answer for %reject, which XFRM cannot (docs/decisions/0007)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..klips.lookup import row_of
from ..klips.said import SA_INT, SPI_REJECT
from ..net import Prefix, Selector
from ..xfrm.model import FirewallRule
from .model import Kind, Options, Outcome
from .precedence import Precedence


def firewall_rules(
    outcomes: Sequence[Outcome],
    exceptions: Sequence[Outcome],
    precedence: Precedence,
    options: Options,
) -> Iterator[FirewallRule]:
    """The rules that answer for %reject, and before them the stronger eroutes that they meet."""
    rejecting = {
        position
        for position, outcome in enumerate(outcomes)
        if outcome.eroute.said.protocol == SA_INT
        and outcome.eroute.said.spi == SPI_REJECT
        and outcome.kind != Kind.REFUSED.value
    }
    if not rejecting:
        return
    for network in options.bypass:
        anywhere = Prefix(network.family, 0, 0)
        yield FirewallRule("return", Selector(anywhere, network), "never routed into ipsecN")
    for exception in exceptions:
        said = exception.eroute.said
        rejects = said.protocol == SA_INT and said.spi == SPI_REJECT
        for selector in exception.selectors:
            verdict = "reject" if rejects else "return"
            yield FirewallRule(verdict, selector, str(exception.eroute.span))
    shields: set[int] = set()
    for position in rejecting:
        family = outcomes[position].eroute.selector.family
        crossed = precedence.crossed[family]
        row = row_of(outcomes[position].eroute.selector)
        for other in crossed.crossings.touching((row[0] & row[1], row[1])):
            stronger = crossed.members[other]
            if (
                stronger not in rejecting
                and outcomes[stronger].priority < outcomes[position].priority
            ):
                shields.add(stronger)
    for position in precedence.order:
        if position in rejecting or position in shields:
            outcome = outcomes[position]
            verdict = "reject" if position in rejecting else "return"
            for selector in outcome.selectors:
                yield FirewallRule(verdict, selector, str(outcome.eroute.span))
