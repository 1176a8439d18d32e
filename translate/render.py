"""Values to text: the templates, and what they are given.

All target syntax lives in the templates and in their filters (:mod:`.script_lines`,
:mod:`.json_forms`, :mod:`.firewall`, :mod:`.daemon_text`).  One loader finds the templates of a
wheel, of an editable install and of a checkout alike.  Ours run in a plain environment with strict
undefined; a template of the user's runs in a sandbox.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import __version__
from .diagnostics import Diagnostic, Severity
from .json_forms import (
    FORMAT_VERSION,
    association_json,
    diagnostic_json,
    eroute_json,
    link_json,
    policy_json,
    route_json,
    to_json,
)
from .klips.eroute import format_eroute
from .mapping.mast import REJECT_MARK, MastVerdict, mast_ruleset
from .script_lines import (
    comment,
    eroute_comment,
    outcome_lines,
    policy_lines,
    route_arguments,
    systemd_word,
)
from .xfrm.model import Policy
from .xfrm.state_text import state_arguments, state_id_arguments
from .xfrm.text import key_arguments, policy_arguments

if TYPE_CHECKING:
    import jinja2

    from .mapping.translation import Translation


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
            "reject_mark": f"{REJECT_MARK:#x}",
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


def render_command(page: Page, *, removing: bool, least: int = 0) -> Iterator[str]:
    """Print the bare commands for one eroute: those that install it, or those that remove it.

    Which policies an eroute had depends on its SAID, which ``--del`` does not name; so the keys
    of all that it may have had are removed where they are, with a priority of ``least`` or above.
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
    given = {"removing": removing, "removals": removals, "least": least}
    return _in_blocks(template, page.context() | given)


def render_firewall(translation: Translation) -> str:
    """The nftables rules of a translation alone; empty when it needs none."""
    if not translation.firewall:
        return ""
    template = _environment().get_template("reject.nft.j2")
    return template.render(firewall=translation.firewall)


def render_unit(command: Sequence[str], folder: str, target: str) -> str:
    """The systemd unit that restores what was saved in ``folder``, by running ``command``.

    ``target`` are the options with which other verbs mean the same one.
    """
    template = _environment().get_template("eroute-translate.service.j2")
    return template.render(version=__version__, command=list(command), folder=folder, target=target)


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
