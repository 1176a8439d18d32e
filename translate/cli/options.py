"""The arguments of all verbs, and the values made of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import __version__
from ..mapping.algorithms import IcvLength
from ..mapping.interfaces import is_virtual
from ..mapping.model import Inbound, Options, Scoping, TemplateBy
from ..net import Prefix, parse_address, parse_prefix
from ..render import Target

if TYPE_CHECKING:
    _Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

EPILOGUE = """exit codes:
  0 done    1 failed    2 usage    3 nothing to translate
  10 plan has changes    11 carried with a difference (--strict)
  12 some entries refused    13 the proof found a difference    14 applied, then rolled back
  15 the live state is not as expected    16 the rollback could not finish
"""

_ASSUMED = {"esp": 50, "ah": 51, "comp": 108}


def _address(text: str) -> tuple[int, int]:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _network(text: str) -> Prefix:
    try:
        prefix = parse_prefix(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if prefix.has_host_bits:
        raise argparse.ArgumentTypeError(f"{text} has bits outside its mask: {prefix.network}?")
    return prefix


def _group(text: str) -> tuple[int, ...]:
    order = [word for word in ("comp", "esp", "ah") if word in text.split("+")]
    if not order or "+".join(order) != text:
        raise argparse.ArgumentTypeError(
            "it takes comp, esp, ah, or several of them in this order: comp+esp+ah"
        )
    return tuple(_ASSUMED[word] for word in order)


def _number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text, 0)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low} to {high}")
        return value

    return read


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="eroute-translate",
        description="Translate KLIPS eroutes to ip xfrm, MAST and nftables.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _convert(verbs)
    _check(verbs)
    _explain(verbs)
    _verify(verbs)
    _report(verbs)
    _direct(verbs)
    _live(verbs)
    return parser


def _verb(verbs: _Verbs, name: str, text: str) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name,
        help=text,
        description=text,
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _convert(verbs: _Verbs) -> None:
    parser = _verb(verbs, "convert", "print the commands that replace an eroute table")
    _input(parser)
    _target(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="write to FILE (mode 0600)")
    parser.add_argument(
        "--show-keys", action="store_true", help="put the keys of states into the JSON form too"
    )
    parser.add_argument(
        "--allow-partial",
        action="store_true",
        help="let the script run although entries are refused; their traffic is blocked where"
        " their selector is known",
    )
    _interface(parser)
    _mapping(parser)
    _speech(parser)


def _check(verbs: _Verbs) -> None:
    parser = _verb(verbs, "check", "read and report only")
    _input(parser)
    _mapping(parser)
    _speech(parser)


def _explain(verbs: _Verbs) -> None:
    parser = _verb(verbs, "explain", "one packet: which eroute, which policies, and why")
    _input(parser)
    parser.add_argument("--src", type=_address, required=True, metavar="ADDRESS")
    parser.add_argument("--dst", type=_address, required=True, metavar="ADDRESS")
    parser.add_argument("--protocol", default="0", metavar="NAME|NUMBER", help="default: none")
    parser.add_argument(
        "--sport", type=_number(0, 65535), default=0, metavar="PORT", help="source port"
    )
    parser.add_argument(
        "--dport", type=_number(0, 65535), default=0, metavar="PORT", help="destination port"
    )
    parser.add_argument(
        "--direction",
        choices=("out", "in", "fwd"),
        default="out",
        help="which policies are asked; KLIPS knew out alone (default: out)",
    )
    _mapping(parser)
    _speech(parser)


def _verify(verbs: _Verbs) -> None:
    parser = _verb(verbs, "verify", "prove that every packet meets the same fate")
    _input(parser)
    parser.add_argument(
        "--against",
        metavar="FILE",
        help="what to compare with instead of our own translation: what `ip xfrm policy` printed, a"
        " script of `ip xfrm` commands, or another KLIPS capture",
    )
    parser.add_argument("--live", action="store_true", help="compare with this host's kernel")
    parser.add_argument(
        "--netns", metavar="NAME", help="compare with the kernel in a network namespace"
    )
    _mapping(parser)
    _speech(parser)


def _report(verbs: _Verbs) -> None:
    parser = _verb(verbs, "report", "the page for the reviewer: what is carried, and the proof")
    _input(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="write to FILE (mode 0600)")
    parser.add_argument(
        "--live", action="store_true", help="tell too what apply would change on this host"
    )
    _target_host(parser)
    _owning(parser)
    _mapping(parser)
    _speech(parser)


def _direct(verbs: _Verbs) -> None:
    parser = _verb(verbs, "ipsec", "translate one `ipsec eroute` command line")
    _target(parser)
    parser.add_argument(
        "--allow-flush",
        action="store_true",
        help="translate --clear to a flush of all policies, others' too",
    )
    _mapping(parser)
    _speech(parser)
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="eroute ...")


def _live(verbs: _Verbs) -> None:
    parser = _verb(verbs, "plan", "show what apply would change on this host")
    _input(parser)
    _target_host(parser)
    _owning(parser)
    _no_interface(parser)
    parser.add_argument(
        "--against",
        metavar="FILE",
        help="compare with what `ip xfrm policy` printed on another host, not with this kernel",
    )
    _mapping(parser)
    _speech(parser)
    parser = _verb(verbs, "apply", "put the policies into the kernel, all of them or none")
    _input(parser)
    _target_host(parser)
    _owning(parser)
    _no_interface(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--confirm-within",
        type=_seconds,
        default=0.0,
        metavar="TIME",
        help="take everything back after TIME (90s, 5m) unless `confirm` comes",
    )
    parser.add_argument(
        "--persist",
        action="store_true",
        help="also have a systemd unit install it at each boot, before the network is up",
    )
    _unit_folder(parser)
    parser.add_argument(
        "--despite-disable-xfrm",
        action="store_true",
        help="go on although an interface has disable_xfrm, so that nothing is protected there",
    )
    _mapping(parser)
    _speech(parser)
    for name, text in (
        ("confirm", "keep what apply --confirm-within put in place"),
        ("rollback", "take back an apply that did not end or is not confirmed"),
        ("status", "what is ours, what waits, what somebody else changed"),
    ):
        parser = _verb(verbs, name, text)
        _target_host(parser)
        if name == "rollback":
            parser.add_argument("--yes", action="store_true", help="do not ask")
    parser = _verb(verbs, "restore", "install what apply --persist saved; the unit runs this")
    _target_host(parser)
    parser.add_argument(
        "--remove", action="store_true", help="remove the unit and what is saved for the next boot"
    )
    _unit_folder(parser)


def _unit_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--unit-folder",
        default="/etc/systemd/system",
        metavar="FOLDER",
        help="where the unit is (default: /etc/systemd/system)",
    )


def _target_host(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--netns", metavar="NAME", help="a network namespace instead of this host")
    parser.add_argument(
        "--state-folder",
        default="/var/lib/eroute-translate",
        metavar="FOLDER",
        help="where journals are kept (default: /var/lib/eroute-translate)",
    )


def _owning(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--replace-foreign",
        action="store_true",
        help="replace policies of others that stand where ours belong",
    )
    parser.add_argument(
        "--allow-partial",
        action="store_true",
        help="go on although entries are refused; their traffic is blocked where their selector"
        " is known",
    )


def _no_interface(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--interface",
        choices=("none", "xfrm"),
        default="none",
        metavar="none",
        help="no links are made here: `convert --interface xfrm` prints a script that makes them",
    )


def _seconds(text: str) -> float:
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    number = text[:-1] if unit else text
    if not (number.isascii() and number.isdecimal()) or int(number) == 0 or len(number) > 6:
        raise argparse.ArgumentTypeError("it takes a number of seconds, such as 90, 90s or 5m")
    return float(int(number) * (unit or 1))


def _input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="what `ipsec eroute`, `ipsec look` or `ipsec barf` printed, a console log, files of"
        " /proc/net, a folder or tar archive of them; - or nothing for standard input",
    )
    parser.add_argument(
        "--table",
        type=_number(1, 1_000_000),
        metavar="NUMBER",
        help="which table, when the input holds more than one (1 is the first)",
    )
    parser.add_argument(
        "--host",
        metavar="NAME",
        help="which host, when the input holds more than one (the last one otherwise)",
    )


def _target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to",
        type=Target,
        choices=list(Target),
        default=Target.IP_XFRM,
        metavar="TARGET",
        help=f"{', '.join(Target)} (default: ip-xfrm)",
    )
    parser.add_argument(
        "--template", metavar="FILE", help="a Jinja2 template of your own (docs/templates.md)"
    )


def _interface(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("interfaces")
    group.add_argument(
        "--interface",
        choices=("none", "xfrm"),
        default="none",
        metavar="none|xfrm",
        help="xfrm: make a link in the place of each ipsecN, named like it, and bind policies and"
        " states to it (default: none)",
    )
    group.add_argument(
        "--attach",
        type=_attachment,
        action="append",
        default=[],
        metavar="ipsecN=DEVICE",
        help="with --interface xfrm: the physical device below ipsecN, where the input does not"
        " tell it (repeatable)",
    )


def _attachment(text: str) -> tuple[str, str]:
    device, _, physical = text.partition("=")
    if not is_virtual(device) or not physical:
        raise argparse.ArgumentTypeError("it takes ipsecN=DEVICE, such as ipsec0=eth0")
    return device, physical


def _mapping(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("mapping")
    group.add_argument(
        "--local",
        type=_address,
        action="append",
        default=[],
        metavar="ADDRESS",
        help="an address of this gateway (repeatable)",
    )
    group.add_argument(
        "--inbound",
        type=Inbound,
        choices=list(Inbound),
        default=Inbound.STRICT,
        metavar="strict|klips",
        help="strict: what should come protected must; klips: clear text is accepted as before"
        " (default: strict)",
    )
    group.add_argument(
        "--assume",
        type=_group,
        default=(50,),
        metavar="GROUP",
        help="what a tunnel without a known group holds: esp, ah, comp+esp, ... (default: esp)",
    )
    group.add_argument(
        "--template-by",
        type=TemplateBy,
        choices=list(TemplateBy),
        default=TemplateBy.REQID,
        metavar="reqid|spi",
        help="how templates name their SA (default: reqid)",
    )
    group.add_argument(
        "--no-reject-rule",
        action="store_true",
        help="leave out the firewall rule that answers for %%reject",
    )
    group.add_argument(
        "--bypass",
        type=_network,
        action="append",
        default=[],
        metavar="NETWORK",
        help="a network that was never routed into ipsecN (repeatable)",
    )
    group.add_argument(
        "--routed",
        type=_network,
        action="append",
        default=[],
        metavar="NETWORK",
        help="a destination that was routed into ipsecN; what no eroute covers there is blocked"
        " (repeatable)",
    )
    group.add_argument(
        "--scope",
        type=Scoping,
        choices=list(Scoping),
        default=Scoping.ROUTES,
        metavar="routes|eroutes",
        help="routes: routes that were read bound the policies, and what they led into ipsecN and"
        " no eroute covers is blocked; eroutes: the eroutes alone decide (default: routes)",
    )
    group.add_argument(
        "--priority-base",
        type=_number(1, 0xFFFFFFFF),
        default=1_000_000_000,
        metavar="NUMBER",
        help="start of our band of priorities (default: 1000000000)",
    )
    group.add_argument(
        "--reqid-base",
        type=_number(1, 0xFFFFFFFF),
        default=1_000_000,
        metavar="NUMBER",
        help="start of our range of reqids (default: 1000000)",
    )
    group.add_argument(
        "--reqid",
        type=_number(1, 0xFFFFFFFF),
        metavar="NUMBER",
        help="one reqid for all templates",
    )
    group.add_argument(
        "--icv",
        type=IcvLength,
        choices=list(IcvLength),
        metavar="96|rfc",
        help="check values of SHA-2: 96 bits, or half the hash (default: by the version that was"
        " read, else 96)",
    )
    group.add_argument(
        "--mask-limit",
        type=_number(1, 65536),
        default=64,
        metavar="NUMBER",
        help="prefixes that a mask with holes may become (default: 64)",
    )
    group.add_argument(
        "--crossing-limit",
        type=_number(0, 1 << 40),
        default=200_000,
        metavar="NUMBER",
        help="pairs of crossing eroutes to look at (default: 200000)",
    )
    group.add_argument(
        "--exception-limit",
        type=_number(0, 10_000),
        default=64,
        metavar="NUMBER",
        help="exceptions before all others that crossing eroutes may take (default: 64)",
    )


def _speech(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("messages")
    group.add_argument(
        "--format", choices=("text", "json"), default="text", help="of diagnostics (default: text)"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="errors only")
    group.add_argument("-v", "--verbose", action="store_true", help="every diagnostic")
    group.add_argument(
        "--strict", action="store_true", help="exit 11 when an entry is carried with a difference"
    )


def mapping_options(arguments: argparse.Namespace) -> Options:
    """The options of the mapping."""
    return Options(
        local=tuple(arguments.local),
        inbound=arguments.inbound,
        template_by=arguments.template_by,
        assume=arguments.assume,
        reject_rule=not arguments.no_reject_rule,
        bypass=tuple(arguments.bypass),
        routed=tuple(arguments.routed),
        priority_base=arguments.priority_base,
        reqid_base=arguments.reqid_base,
        reqid=arguments.reqid,
        mask_limit=arguments.mask_limit,
        crossing_limit=arguments.crossing_limit,
        exception_limit=arguments.exception_limit,
        icv=arguments.icv,
        scope=arguments.scope,
    )
