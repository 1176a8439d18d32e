"""Options that several verbs share: input, target, messages, the host that is changed."""

from __future__ import annotations

import argparse

from ..render import Target
from .argument_types import attachment, number, target


def add_input(parser: argparse.ArgumentParser) -> None:
    """The files, and which table and host of them."""
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="what `ipsec eroute`, `ipsec look` or `ipsec barf` printed, a console log, files of"
        " /proc/net, a folder or tar archive of them; - or nothing for standard input",
    )
    parser.add_argument(
        "--table",
        type=number(1, 1_000_000),
        metavar="NUMBER",
        help="which table, when the input holds more than one (1 is the first)",
    )
    parser.add_argument(
        "--host",
        metavar="NAME",
        help="which host, when the input holds more than one (the last one otherwise)",
    )


def add_target(parser: argparse.ArgumentParser) -> None:
    """What is printed: ``--to`` or a template of the user's."""
    parser.add_argument(
        "--to",
        type=target,
        default=Target.IP_XFRM,
        metavar="TARGET",
        help=f"{', '.join(Target)} (default: ip-xfrm)",
    )
    parser.add_argument(
        "--template", metavar="FILE", help="a Jinja2 template of your own (docs/templates.md)"
    )


def add_interfaces(parser: argparse.ArgumentParser) -> None:
    """Links in the place of ipsecN."""
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
        type=attachment,
        action="append",
        default=[],
        metavar="ipsecN=DEVICE",
        help="with --interface xfrm: the physical device below ipsecN, where the input does not"
        " tell it (repeatable)",
    )


def add_no_interface(parser: argparse.ArgumentParser) -> None:
    """``--interface none`` alone, so that ``xfrm`` is answered with where it is to be had."""
    parser.add_argument(
        "--interface",
        choices=("none", "xfrm"),
        default="none",
        metavar="none",
        help="no links are made here: `convert --interface xfrm` prints a script that makes them",
    )


def add_target_host(parser: argparse.ArgumentParser) -> None:
    """Which host is changed, and where its journals are."""
    parser.add_argument("--netns", metavar="NAME", help="a network namespace instead of this host")
    parser.add_argument(
        "--state-folder",
        default="/var/lib/eroute-translate",
        metavar="FOLDER",
        help="where journals are kept (default: /var/lib/eroute-translate)",
    )


def add_owning(parser: argparse.ArgumentParser) -> None:
    """What may be replaced, and whether a part of the input is enough."""
    parser.add_argument(
        "--replace-foreign",
        action="store_true",
        help="replace policies and states of others that stand where ours belong",
    )
    parser.add_argument(
        "--allow-partial",
        action="store_true",
        help="go on although entries are refused; their traffic is blocked where their selector"
        " is known",
    )


def add_unit_folder(parser: argparse.ArgumentParser) -> None:
    """Where the systemd unit of ``--persist`` is."""
    parser.add_argument(
        "--unit-folder",
        default="/etc/systemd/system",
        metavar="FOLDER",
        help="where the unit is (default: /etc/systemd/system)",
    )


def add_messages(parser: argparse.ArgumentParser) -> None:
    """How diagnostics are told, and whether a difference is an exit code."""
    group = parser.add_argument_group("messages")
    group.add_argument(
        "--format", choices=("text", "json"), default="text", help="of diagnostics (default: text)"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="errors only")
    group.add_argument("-v", "--verbose", action="store_true", help="every diagnostic")
    group.add_argument(
        "--strict", action="store_true", help="exit 11 when an entry is carried with a difference"
    )
