"""Tables translated in one call, and policies as short texts that a person can check by eye."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from eroute_translate.diagnostics import Collector
from eroute_translate.klips.assembly import host_of_listings
from eroute_translate.klips.host import KlipsHost
from eroute_translate.klips.table import read_listings
from eroute_translate.mapping.model import Inbound, Options, Outcome, TemplateBy
from eroute_translate.mapping.translation import Translation, translate
from eroute_translate.net import format_address, parse_address, parse_prefix
from eroute_translate.render import Page, Target, render
from eroute_translate.xfrm.model import TEMPLATE_PROTOCOLS, Policy, Template

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[1]


def read_host(text: str, name: str = "table") -> tuple[KlipsHost, Collector]:
    collector = Collector()
    listings = read_listings(text.encode("utf-8", "surrogateescape"), name, collector)
    return host_of_listings(listings, None, collector), collector


def options(**given: Any) -> Options:
    """Options of the mapping, with addresses and networks as texts."""
    for name, read in (
        ("local", parse_address),
        ("bypass", parse_prefix),
        ("routed", parse_prefix),
    ):
        if name in given:
            given[name] = tuple(read(text) for text in given[name].split())
    for name, values in (("inbound", Inbound), ("template_by", TemplateBy)):
        if name in given:
            given[name] = values(given[name])
    return Options(**given)


def translated(text: str, **given: Any) -> Translation:
    return translate(read_host(text)[0], options(**given))


def page(text: str, name: str = "table", *, partial: bool = False, **given: Any) -> Page:
    host, collector = read_host(text, name)
    translation = translate(host, options(**given))
    return Page(translation, (name,), tuple(collector.items), partial)


def rendered(
    text: str, target: Target, name: str = "table", *, partial: bool = False, **given: Any
) -> str:
    return "".join(render(page(text, name, partial=partial, **given), target))


def row(source: str, destination: str, said: str, count: int = 1) -> str:
    return f"{count:<10} {source:<18} -> {destination:<18} => {said}\n"


def only(source: str, destination: str, said: str, **given: Any) -> Outcome:
    """The outcome of a table of one row."""
    (outcome,) = translated(row(source, destination, said), **given).outcomes
    return outcome


def template_text(template: Template) -> str:
    ends = [format_address(template.family, a) for a in (template.source, template.destination)]
    text = f"{TEMPLATE_PROTOCOLS[template.protocol]} {template.mode}"
    if template.source or template.destination:
        text += f" {ends[0]}>{ends[1]}"
    text += f" reqid {template.reqid - 1_000_000}" if template.reqid else ""
    text += f" spi {template.spi:#x}" if template.spi else ""
    return text + (" use" if template.optional else "")


def policy_text(policy: Policy) -> str:
    templates = "".join([f" [{template_text(t)}]" for t in policy.templates])
    verdict = " block" if policy.action == "block" else ""
    return f"{policy.direction} {policy.selector}{verdict}{templates}"


def texts(policies: Iterable[Policy] | Outcome) -> list[str]:
    """The policies without their priorities."""
    if isinstance(policies, Outcome):
        policies = policies.policies
    return [policy_text(policy) for policy in policies]


def own_texts(outcome: Outcome) -> list[str]:
    """The policies of an eroute without its exemptions."""
    return texts(p for p in outcome.policies if p.priority == outcome.priority)


def shield_texts(outcome: Outcome) -> list[str]:
    """The exemptions of an eroute."""
    return texts(p for p in outcome.policies if p.priority == outcome.priority - 1)
