"""The parser of the whole command line: its verbs, and the options that each of them has."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .. import __version__
from .argument_types import address, number, seconds
from .mapping_options import add_mapping
from .option_groups import (
    add_input,
    add_interfaces,
    add_messages,
    add_no_interface,
    add_owning,
    add_target,
    add_target_host,
    add_unit_folder,
)

if TYPE_CHECKING:
    _Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


EPILOGUE = """exit codes:
  0 done    1 failed    2 usage    3 nothing to translate
  10 plan has changes    11 carried with a difference (--strict)
  12 some entries refused    13 the proof found a difference    14 applied, then rolled back
  15 the live state is not as expected    16 the rollback could not finish
"""


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
    _plan(verbs)
    _apply(verbs)
    _after_apply(verbs)
    _restore(verbs)
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
    add_input(parser)
    add_target(parser)
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
    add_interfaces(parser)
    add_mapping(parser)
    add_messages(parser)


def _check(verbs: _Verbs) -> None:
    parser = _verb(verbs, "check", "read and report only")
    add_input(parser)
    add_mapping(parser)
    add_messages(parser)


def _explain(verbs: _Verbs) -> None:
    parser = _verb(verbs, "explain", "one packet: which eroute, which policies, and why")
    add_input(parser)
    parser.add_argument("--src", type=address, required=True, metavar="ADDRESS")
    parser.add_argument("--dst", type=address, required=True, metavar="ADDRESS")
    parser.add_argument("--protocol", default="0", metavar="NAME|NUMBER", help="default: none")
    parser.add_argument(
        "--sport", type=number(0, 65535), default=0, metavar="PORT", help="source port"
    )
    parser.add_argument(
        "--dport", type=number(0, 65535), default=0, metavar="PORT", help="destination port"
    )
    parser.add_argument(
        "--direction",
        choices=("out", "in", "fwd"),
        default="out",
        help="which policies are asked; KLIPS knew out alone (default: out)",
    )
    add_mapping(parser)
    add_messages(parser)


def _verify(verbs: _Verbs) -> None:
    parser = _verb(verbs, "verify", "prove that every packet meets the same fate")
    add_input(parser)
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
    add_mapping(parser)
    add_messages(parser)


def _report(verbs: _Verbs) -> None:
    parser = _verb(verbs, "report", "the page for the reviewer: what is carried, and the proof")
    add_input(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="write to FILE (mode 0600)")
    parser.add_argument(
        "--live", action="store_true", help="tell too what apply would change on this host"
    )
    add_target_host(parser)
    add_owning(parser)
    add_mapping(parser)
    add_messages(parser)


def _direct(verbs: _Verbs) -> None:
    parser = _verb(verbs, "ipsec", "translate one `ipsec eroute` command line")
    add_target(parser)
    parser.add_argument(
        "--allow-flush",
        action="store_true",
        help="translate --clear to a flush of all policies, others' too",
    )
    add_mapping(parser)
    add_messages(parser)
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="eroute ...")


def _plan(verbs: _Verbs) -> None:
    parser = _verb(verbs, "plan", "show what apply would change on this host")
    add_input(parser)
    add_target_host(parser)
    add_owning(parser)
    add_no_interface(parser)
    parser.add_argument(
        "--against",
        metavar="FILE",
        help="compare with what `ip xfrm policy` printed on another host, not with this kernel",
    )
    add_mapping(parser)
    add_messages(parser)


def _apply(verbs: _Verbs) -> None:
    parser = _verb(verbs, "apply", "put the policies into the kernel, all of them or none")
    add_input(parser)
    add_target_host(parser)
    add_owning(parser)
    add_no_interface(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--allow-clear",
        action="store_true",
        help="with --yes: go on although traffic leaves in clear then that is protected or blocked"
        " now, since its eroutes are gone",
    )
    parser.add_argument(
        "--confirm-within",
        type=seconds,
        default=0.0,
        metavar="TIME",
        help="take everything back after TIME (90s, 5m) unless `confirm` comes",
    )
    parser.add_argument(
        "--persist",
        action="store_true",
        help="also have a systemd unit install it at each boot, before the network is up",
    )
    add_unit_folder(parser)
    parser.add_argument(
        "--despite-disable-xfrm",
        action="store_true",
        help="go on although an interface has disable_xfrm, so that nothing is protected there",
    )
    add_mapping(parser)
    add_messages(parser)


def _after_apply(verbs: _Verbs) -> None:
    for name, text in (
        ("confirm", "keep what apply --confirm-within put in place"),
        ("rollback", "take back an apply that did not end or is not confirmed"),
        ("status", "what is ours, what waits, what somebody else changed"),
    ):
        parser = _verb(verbs, name, text)
        add_target_host(parser)
        if name == "rollback":
            parser.add_argument("--yes", action="store_true", help="do not ask")
        if name == "status":
            add_unit_folder(parser)


def _restore(verbs: _Verbs) -> None:
    parser = _verb(verbs, "restore", "install what apply --persist saved; the unit runs this")
    add_target_host(parser)
    parser.add_argument(
        "--remove", action="store_true", help="remove the unit and what is saved for the next boot"
    )
    add_unit_folder(parser)
