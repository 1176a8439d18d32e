"""Values to text: all target syntax lives in the templates and in the filters below.

One loader finds the templates of a wheel, of an editable install and of a checkout alike.  Ours
run in a plain environment with strict undefined; a template of the user's runs in a sandbox.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import __version__
from .diagnostics import Diagnostic, Severity, visible
from .klips.eroute import format_eroute
from .mapping.associations import Carried
from .mapping.links import Link, LinkRoute
from .mapping.mast import MastVerdict, mast_ruleset
from .mapping.model import BLOCK, FWD, IN, OUT, TUNNEL_MODE, Kind, Outcome
from .net import LENGTH_OF_MASK, PREFIX_TEXTS, QUAD_TEXTS, Selector, format_address
from .xfrm.model import TEMPLATE_PROTOCOLS, Algorithm, Policy, State
from .xfrm.state_text import state_arguments, state_id_arguments
from .xfrm.text import key_arguments, policy_arguments, template_words

if TYPE_CHECKING:
    import jinja2

    from .mapping.translation import Translation
    from .xfrm.model import Template


class Target(StrEnum):
    """What ``--to`` takes; each has a template of its own.

    The last two are key daemons: :mod:`.daemon_text` prints them.
    """

    IP_XFRM = "ip-xfrm"
    IP_BATCH = "ip-batch"
    MAST = "mast"
    NFTABLES = "nftables"
    JSON = "json"
    SWANCTL = "swanctl"
    LIBRESWAN = "libreswan"


TEMPLATE_OF: Final = {
    Target.IP_XFRM: "ip-xfrm.sh.j2",
    Target.IP_BATCH: "ip-batch.j2",
    Target.MAST: "mast.sh.j2",
    Target.NFTABLES: "nftables.nft.j2",
    Target.JSON: "ruleset.json.j2",
}
"""Templates of a :class:`Page`; the key daemons have a page of their own (:mod:`.daemon_text`)."""

NEVER_PARTIAL: Final = ("ET305", "ET306")
"""What --allow-partial does not lift: nothing is known of the order, or it has no room."""

FORMAT_VERSION: Final = 1
"""Version of the JSON form; see docs/schema/ruleset-1.json."""


class RenderError(Exception):
    """A template of the user's could not be used; the text says why and where."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a template is given, under the names of the fields.

    ``sources`` are the files that were read, ``errors`` how many diagnostics were errors while
    reading, ``findings`` all diagnostics, reading and meaning.  ``show_keys`` puts keys into the
    JSON form.
    """

    translation: Translation
    sources: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]
    allow_partial: bool = False
    show_keys: bool = False

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """Everything that was found, in reading and in meaning."""
        return self.diagnostics + self.translation.findings

    @property
    def stop_reasons(self) -> list[str]:
        """Why a script must not run; empty when it may."""
        if self.allow_partial:
            return [d.message for d in self.findings if d.code in NEVER_PARTIAL]
        refused = self.translation.refused
        reasons = [
            f"{d.span}: {d.message}" if d.span else d.message
            for d in self.findings
            if d.severity is Severity.ERROR
        ]
        if refused and not reasons:
            reasons.append(f"{refused} entries are refused")
        return reasons

    def context(self) -> dict[str, object]:
        """The variables of a template; docs/templates.md lists them."""
        translation = self.translation
        return {
            "version": __version__,
            "format_version": FORMAT_VERSION,
            "sources": self.sources,
            "outcomes": translation.outcomes,
            "exceptions": translation.exceptions,
            "in_install_order": translation.in_install_order,
            "bypassed": translation.bypassed,
            "uncovered": translation.uncovered,
            "firewall": translation.firewall,
            "counts": translation.counts,
            "rows": translation.host.rows,
            "unread": translation.host.unread,
            "repeats": translation.host.repeats,
            "options": translation.options,
            "band": translation.band,
            "findings": self.findings,
            "stop_reasons": self.stop_reasons,
            "allow_partial": self.allow_partial,
            "states": translation.states,
            "show_keys": self.show_keys,
            "interfaces": translation.interfaces,
        }

    def mast_context(self) -> dict[str, object]:
        """What a MAST template needs beside that."""
        ruleset = mast_ruleset(self.translation)
        names = {4: ("iptables", "IPv4"), 6: ("ip6tables", "IPv6")}
        families = {rule.outcome.eroute.selector.family for rule in ruleset.rules}
        rejecting = {
            names[rule.outcome.eroute.selector.family][0]
            for rule in ruleset.rules
            if rule.verdict == MastVerdict.REJECT
        }
        return {
            "mast": ruleset,
            "programs": [names[family] for family in sorted(families)],
            "rejecting": rejecting,
        }


def templates_folder() -> Path:
    """Where our templates are: inside the package, or beside it in a checkout.

    Raises ``FileNotFoundError`` when the installation is broken.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "templates", here.parent / "templates"):
        if (folder / TEMPLATE_OF[Target.IP_XFRM]).is_file():
            return folder
    raise FileNotFoundError("the templates of eroute-translate are not installed")


def render(page: Page, target: Target) -> Iterator[str]:
    """Print a translation for a target that is no key daemon, in pieces of some size."""
    environment = _environment()
    template = environment.get_template(TEMPLATE_OF[target])
    context = page.context()
    if target is Target.MAST:
        context |= page.mast_context()
    return _in_blocks(template, context)


def render_template(name: str, context: dict[str, object]) -> Iterator[str]:
    """Print the values of a context through one of our templates, in pieces of some size."""
    return _in_blocks(_environment().get_template(name), context)


def render_command(page: Page, *, removing: bool) -> Iterator[str]:
    """Print the bare commands for one eroute: those that install it, or those that remove it.

    Which policies an eroute had depends on its SAID, which ``--del`` does not name; so the keys
    of all that it may have had are removed where they are.
    """
    removals = [
        Policy(direction, selector, 0)
        for outcome in page.translation.outcomes
        for wanted in outcome.selectors
        for direction, selector in (
            ("out", wanted),
            ("in", wanted.mirrored()),
            ("fwd", wanted.mirrored()),
            *((shield.direction, shield.selector) for shield in outcome.shields),
        )
    ]
    template = _environment().get_template("command.sh.j2")
    return _in_blocks(template, page.context() | {"removing": removing, "removals": removals})


def render_firewall(translation: Translation) -> str:
    """The nftables rules of a translation alone; empty when it needs none."""
    if not translation.firewall:
        return ""
    template = _environment().get_template("reject.nft.j2")
    return template.render(firewall=translation.firewall)


def render_unit(command: Sequence[str], folder: str) -> str:
    """The systemd unit that restores what was saved in ``folder``, by running ``command``."""
    template = _environment().get_template("eroute-translate.service.j2")
    return template.render(version=__version__, command=list(command), folder=folder)


def render_user_template(page: Page, path: Path) -> Iterator[str]:
    """Print a translation through a template of the user's, in a sandbox.

    Raises :class:`RenderError`, also while the pieces are taken, and ``OSError``.
    """
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters.update(_filters())
    try:
        template = environment.from_string(path.read_text(encoding="utf-8"))
        yield from _in_blocks(template, page.context() | page.mast_context())
    except jinja2.TemplateSyntaxError as error:
        raise RenderError(f"{path}:{error.lineno}: {error.message}") from None
    except OSError:
        raise
    except (UnicodeDecodeError, jinja2.TemplateError) as error:
        raise RenderError(f"{path}{_template_line(error)}: {error}") from None
    except Exception as error:  # noqa: BLE001 - a template is a program of somebody else
        raise RenderError(
            f"{path}{_template_line(error)}: {type(error).__name__}: {error}"
        ) from None


def _template_line(error: BaseException) -> str:
    """The innermost line of the template that was at work, as ``:LINE``."""
    line = ""
    place = error.__traceback__
    while place is not None:
        template = place.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            line = f":{template.get_corresponding_lineno(place.tb_lineno)}"
        place = place.tb_next
    return line


_PIECES: Final = 2000
_ANY: Final = "0.0.0.0"  # noqa: S104 - the template of any address


def _in_blocks(template: jinja2.Template, context: dict[str, object]) -> Iterator[str]:
    """Join the small pieces that Jinja2 yields: one write each would be slow."""
    pieces = iter(template.root_render_func(template.new_context(context)))
    while block := "".join(islice(pieces, _PIECES)):
        yield block


def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_folder()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - shell and JSON, quoted by filters of their own
        auto_reload=False,
    )
    environment.filters.update(_filters())
    return environment


def _filters() -> dict[str, Callable[..., Any]]:
    from . import daemon_text, firewall

    return {
        "ip_xfrm": policy_arguments,
        "ip_xfrm_lines": policy_lines,
        "outcome_lines": outcome_lines,
        "ip_xfrm_key": key_arguments,
        "ip_xfrm_state": state_arguments,
        "ip_xfrm_state_id": state_id_arguments,
        "association_json": association_json,
        "klips": format_eroute,
        "comment": comment,
        "sh": shlex.quote,
        "systemd": systemd_word,
        "json": to_json,
        "eroute_json": eroute_json,
        "policy_json": policy_json,
        "link_json": link_json,
        "route_json": route_json,
        "ip_route": route_arguments,
        "diagnostic_json": diagnostic_json,
        "eroute_comment": eroute_comment,
        "nft_match": firewall.nft_match,
        "nft_reject": firewall.nft_reject,
        "rule_comment": firewall.rule_comment,
        "mast_rules": firewall.mast_rules,
        "format_counts": daemon_text.format_counts,
        "swanctl": daemon_text.swanctl_value,
        "ipsec_conf": daemon_text.ipsec_conf_value,
    }


def comment(value: object) -> str:
    """Text for a comment: one line, nothing in it that a terminal or a shell acts upon."""
    return visible(str(value)).replace("\u2028", " ").replace("\u2029", " ")


def systemd_word(value: object, *, variables: bool = False) -> str:
    """One word of a unit file, quoted, specifiers taken literally (systemd.syntax(7)).

    ``variables`` is for command lines, where a dollar sign means one too (systemd.service(5)).

    Raises ``ValueError`` for text with control characters.
    """
    text = str(value)
    if not text.isprintable():
        raise ValueError(f"{text!r} cannot stand in a unit file")
    for sign, doubled in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%")):
        text = text.replace(sign, doubled)
    if variables:
        text = text.replace("$", "$$")
    return f'"{text}"'


def policy_lines(policies: Iterable[Policy], command: str, *, numeric: bool = False) -> str:
    """One line for each policy: the command and the policy's arguments."""
    if numeric:
        return "".join([f"{command} {policy_arguments(p, numeric=True)}\n" for p in policies])
    return "".join([f"{command} {policy_arguments(p)}\n" for p in policies])


def outcome_lines(
    outcome: Outcome, command: str, direction: str = "", *, numeric: bool = False
) -> str:
    """The lines of :func:`policy_lines` for the policies of one eroute, or of a direction alone.

    The common eroute has one selector, no ports, and three policies that share their parts; each
    part is then printed once.  A test holds the two functions equal.
    """
    eroute, treatment, selectors, reqid, shields, priority, _, shadowed, _, if_id = outcome
    steps = treatment[3]
    if (
        len(selectors) != 1
        or (shields or shadowed or treatment[9] or if_id)
        or not _is_plain(selectors[0])
        or (steps and eroute[1][0][2] == 6)
    ):
        policies = outcome.policies
        if direction:
            policies = tuple([policy for policy in policies if policy.direction == direction])
        return policy_lines(policies, command, numeric=numeric)
    out = inward = f" priority {priority}"
    if steps:
        local, remote = QUAD_TEXTS[treatment[8]], QUAD_TEXTS[eroute[1][0][3]]
        for protocol, mode, optional in steps:
            here, there = (local, remote) if mode == TUNNEL_MODE else (_ANY, _ANY)
            words = template_words(TEMPLATE_PROTOCOLS[protocol], reqid, mode, False)
            out = f"{out} tmpl src {here} dst {there} {words}"
            if optional:
                words = template_words(TEMPLATE_PROTOCOLS[protocol], reqid, mode, True)
            inward = f"{inward} tmpl src {there} dst {here} {words}"
    near, far = PREFIX_TEXTS[selectors[0][0]], PREFIX_TEXTS[selectors[0][1]]
    verdict = " action block" if treatment[2] == BLOCK else ""
    out = f"{command} src {near} dst {far} dir out{verdict}{out}\n"
    mirrored = f"{command} src {far} dst {near} dir "
    into = f"{mirrored}in{inward}\n" if treatment[4] else ""
    forward = f"{mirrored}fwd{inward}\n" if treatment[4] and treatment[5] else ""
    if direction:
        return {OUT: out, IN: into, FWD: forward}[direction]
    return f"{out}{into}{forward}"


def _is_plain(selector: Selector) -> bool:
    """Whether it has two IPv4 prefixes and nothing else."""
    source, destination, protocol, source_port, destination_port = selector
    if protocol or source_port or destination_port or source[0] != 4:
        return False
    return source[2] in LENGTH_OF_MASK[4] and destination[2] in LENGTH_OF_MASK[4]


def eroute_comment(outcome: Outcome) -> str:
    """The comment before the policies of an eroute: place, the row, and what became of it."""
    eroute, treatment = outcome[0], outcome[1]
    span = eroute[2]
    text = f"{span[0]}:{span[1]}: {format_eroute(eroute)}"
    if not text.isprintable():
        text = comment(text)
    kind = "an exception before all others" if outcome[8] else treatment[0]
    return f"# {text}\n# {_verdict(kind, treatment[1], treatment[7])}"


@cache
def _verdict(kind: str, rule: str, codes: tuple[str, ...]) -> str:
    listed = f" ({', '.join(codes)})" if codes else ""
    return f"{kind}, rule {rule}{listed}"


def to_json(value: object) -> str:
    """A JSON value on one line, keys in a fixed order."""
    return json.dumps(value, ensure_ascii=True, sort_keys=True)


def policy_json(policy: Policy) -> dict[str, object]:
    """A policy as the JSON form has it."""
    selector = policy.selector
    document: dict[str, object] = {
        "direction": policy.direction,
        "source": str(selector.source),
        "destination": str(selector.destination),
        "protocol": selector.protocol,
        "source_port": selector.source_port,
        "destination_port": selector.destination_port,
        "priority": policy.priority,
        "action": policy.action,
        "templates": [_template_json(template) for template in policy.templates],
        "if_id": policy.if_id,
    }
    return document


def link_json(link: Link) -> dict[str, object]:
    """An interface of ``--interface xfrm`` as the JSON form has it."""
    return {
        "name": visible(link.name),
        "physical": visible(link.physical),
        "if_id": link.if_id,
        "mtu": link.mtu or None,
    }


def route_json(route: LinkRoute) -> dict[str, object]:
    """A route beside the policies as the JSON form has it."""
    return {
        "destination": str(route.destination),
        "device": visible(route.device),
        "gateway": None if route.gateway is None else format_address(*route.gateway),
        "source": None if route.source is None else format_address(*route.source),
        "metric": route.metric or None,
        "table": visible(route.table),
    }


def route_arguments(route: LinkRoute) -> str:
    """``DESTINATION dev DEVICE ...`` as ``ip route add`` takes it (ip-route(8)), words quoted."""
    words = [f"{route.destination}"]
    if route.gateway is not None:
        words += ["via", format_address(*route.gateway)]
    words += ["dev", route.device]
    if route.source is not None:
        words += ["src", format_address(*route.source)]
    if route.metric:
        words += ["metric", str(route.metric)]
    if route.table not in ("main", "254"):
        words += ["table", route.table]
    return shlex.join(words)


def association_json(carried: Carried, show_keys: bool = False) -> dict[str, object]:
    """One association with what became of it, as the JSON form has it."""
    association, state = carried.association, carried.state
    return {
        "file": visible(association.span.file),
        "line": association.span.line,
        "said": visible(str(association.said)),
        "outcome": carried.kind,
        "findings": list(carried.codes),
        "reason": carried.reason,
        "state": None if state is None else state_json(state, show_keys=show_keys),
    }


def state_json(state: State, *, show_keys: bool = False) -> dict[str, object]:
    """A state as the JSON form has it: keys by their length, unless they are asked for."""

    def algorithm_json(algorithm: Algorithm | None) -> dict[str, object] | None:
        if algorithm is None:
            return None
        name, key, bits = algorithm
        shown = key.reveal().hex() if show_keys else None
        return {"name": name, "key_bits": key.bits, "icv_bits": bits, "key": shown}

    encapsulation = state.encapsulation
    return {
        "protocol": TEMPLATE_PROTOCOLS[state.protocol],
        "source": format_address(state.family, state.source),
        "destination": format_address(state.family, state.destination),
        "spi": state.spi,
        "mode": state.mode,
        "reqid": state.reqid,
        "encryption": algorithm_json(state.encryption),
        "authentication": algorithm_json(state.authentication),
        "compression": state.compression or None,
        "replay_window": state.replay_window,
        "selector": None if state.selector is None else str(state.selector),
        "flags": [*state.flags, *state.extra_flags],
        "limits": {name: number for name, number in state.limits._asdict().items() if number},
        "encapsulation": None if encapsulation is None else list(encapsulation),
        "if_id": state.if_id,
    }


def _template_json(template: Template) -> dict[str, object]:
    return {
        "protocol": TEMPLATE_PROTOCOLS[template.protocol],
        "mode": template.mode,
        "source": format_address(template.family, template.source),
        "destination": format_address(template.family, template.destination),
        "reqid": template.reqid,
        "spi": template.spi,
        "level": "use" if template.optional else "required",
    }


def eroute_json(outcome: Outcome) -> dict[str, object]:
    """One entry of the input with its outcome, as the JSON form has it."""
    eroute, treatment = outcome.eroute, outcome.treatment
    selector = eroute.selector
    return {
        "file": visible(eroute.span.file),
        "line": eroute.span.line,
        "klips": visible(format_eroute(eroute)),
        "count": eroute.count,
        "source": str(selector.source),
        "destination": str(selector.destination),
        "protocol": selector.protocol,
        "source_port": selector.source_port,
        "destination_port": selector.destination_port,
        "saids": [visible(str(said)) for said in eroute.saids],
        "identities": None
        if eroute.identities is None
        else [visible(text) for text in eroute.identities],
        "outcome": treatment.kind,
        "rule": treatment.rule,
        "findings": list(treatment.codes),
        "reason": outcome.reason,
        "policies": [policy_json(policy) for policy in outcome.policies],
    }


def diagnostic_json(item: Diagnostic) -> dict[str, object]:
    """A diagnostic as the JSON form has it."""
    span = item.span
    return {
        "code": item.code,
        "severity": item.severity.value,
        "message": visible(item.message),
        "file": None if span is None else visible(span.file),
        "line": None if span is None else span.line,
        "column": None if span is None else span.column,
        "end_column": None if span is None else max(span.column, span.end_column),
        "excerpt": visible(item.excerpt[:200]),
        "expected": item.expected,
        "hint": visible(item.hint),
        "related": [
            {"file": visible(s.file), "line": s.line, "message": visible(t)}
            for s, t in item.related
        ],
    }


def refused_outcomes(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that are not carried."""
    return [outcome for outcome in outcomes if outcome.kind == Kind.REFUSED.value]
