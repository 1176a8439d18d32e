"""Connections for libreswan 4 and 5: ipsec.conf(5) as it is today, sides as they were written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ...klips.connection import Connection
from ...net import Selector
from .draft import Draft
from .lines import life_of, same_lines, value_of
from .model import FILL_IN, Line, Shown, Wanted, address_text, prefix_text
from .proposals import Daemon, Proposal, spell
from .wanted import has_raw_key

_AUTOS: Final = {"none": "add", "trap": "ondemand", "start": "start"}
_SEND_CERT: Final = {
    "yes": "always",
    "always": "always",
    "no": "never",
    "never": "never",
    "ifasked": "sendifasked",
    "sendifasked": "sendifasked",
}
NO_SHUNT_SCRIPT: Final = Line("leftupdown", "%disabled")
"""A shunt has no peer, so that no route can be made for it."""


def lines_of(
    connection: Connection, wanted: Wanted, draft: Draft, *, short_icv: bool
) -> list[Line]:
    """The settings of a connection of ipsec.conf.

    ``short_icv`` asks for check values of SHA-2-256 with 96 bits.
    """
    if wanted.is_shunt:
        return [*_sides(connection, draft), *_shunt(wanted, draft), NO_SHUNT_SCRIPT]
    lines = [
        *_sides(connection, draft),
        Line("type", wanted.kind),
        Line("authby", {"psk": "secret", "rsa": "rsasig"}.get(wanted.authentication, FILL_IN)),
        *_keys(connection, wanted, draft),
        *_negotiated(wanted),
        *_times(connection, draft),
        *_rest(connection, wanted, draft, short_icv=short_icv),
        *same_lines(connection, draft, Daemon.LIBRESWAN),
    ]
    auto = connection.value("auto", "ignore")
    ignored = auto in ("ignore", "manual") and wanted.start == "none"
    lines.append(Line("auto", "ignore" if ignored else _AUTOS[wanted.start]))
    return lines


def lines_of_shown(shown: Shown, draft: Draft) -> list[Line]:
    """The settings for an eroute that no connection accounts for."""
    selector = shown.selector
    left = address_text(shown.ours) if shown.ours else "%defaultroute"
    peer = address_text(shown.peer) if shown.peer else _nobody(selector.family)
    lines = [Line("left", left), Line("right", peer)]
    # Transport mode is between the hosts themselves, and takes no networks.
    if shown.wanted.kind != "transport":
        lines += [
            Line("leftsubnet", prefix_text(selector.source)),
            Line("rightsubnet", prefix_text(selector.destination)),
        ]
    if selector.protocol:
        lines += [
            Line("leftprotoport", _protoport(selector.protocol, selector.source_port)),
            Line("rightprotoport", _protoport(selector.protocol, selector.destination_port)),
        ]
    if shown.wanted.is_shunt:
        return [*lines, *_shunt(shown.wanted, draft), NO_SHUNT_SCRIPT]
    return [
        *lines,
        Line("type", shown.wanted.kind),
        Line("authby", shown.wanted.authentication),
        Line("leftid", f"@{FILL_IN}"),
        Line("rightid", f"@{FILL_IN}"),
        *_phase2(shown.wanted),
        Line("compress", "yes" if shown.wanted.compress else "no"),
        Line("auto", "ondemand"),
    ]


def several(line: Line, selectors: Sequence[Selector]) -> Line:
    """The line for one network, made one for all networks of that side."""
    if line.name not in ("leftsubnet", "rightsubnet"):
        return line
    near = line.name == "leftsubnet"
    networks = dict.fromkeys(prefix_text(s.source if near else s.destination) for s in selectors)
    return Line(f"{line.name}s", ",".join(networks))


def _nobody(family: int) -> str:
    return "0.0.0.0" if family == 4 else "::"  # noqa: S104 - the peer of a shunt


def _protoport(protocol: int, port: int) -> str:
    """``17/1701``; 0 is every port, where ``%any`` would be any one of them."""
    return f"{protocol}/{port}"


def _shunt(wanted: Wanted, draft: Draft) -> Iterator[Line]:
    draft.note_shunt(rejects=wanted.kind == "reject")
    yield Line("type", wanted.kind)
    yield Line("authby", "never")
    yield Line("auto", "ondemand" if wanted.start != "none" else "add")


def _sides(connection: Connection, draft: Draft) -> Iterator[Line]:
    for side in ("left", "right"):
        for name in (side, f"{side}id", f"{side}subnet", f"{side}subnets", f"{side}protoport"):
            value = value_of(connection, name, draft) if connection.value(name) else ""
            if name == f"{side}subnets":
                # Within quotes pluto takes the braces for a part of the first network.
                value = ",".join(value.strip("{} ").replace(",", " ").split())
            if name == f"{side}protoport" and value.isdecimal():
                value += "/0"
            if value:
                yield Line(name, value)
        hop = connection.settings.get(f"{side}nexthop")
        if hop is None or not hop.value:
            continue
        if hop.value.startswith("%"):
            draft.note("ET252", f"{hop.name}={hop.value} is what the daemon does anyway", hop.span)
        else:
            yield Line(hop.name, hop.value)


def _keys(connection: Connection, wanted: Wanted, draft: Draft) -> Iterator[Line]:
    if wanted.authentication != "rsa":
        return
    for side in ("left", "right"):
        key, certificate = f"{side}rsasigkey", f"{side}cert"
        if connection.value(certificate):
            draft.tell(
                "ET258",
                f"{certificate} is the name of a certificate in the daemon's NSS database now",
                connection.span_of(certificate),
                hint="import the certificate and its private key under this name (ipsec import)",
            )
            name = connection.value(certificate).rpartition("/")[2]
            yield Line(certificate, name.removesuffix(".pem").removesuffix(".crt"))
        if has_raw_key(connection, side):
            draft.tell(
                "ET258",
                f"{key} goes on; a private key has to be in the daemon's NSS database",
                connection.span_of(key),
                hint="import the private key of this gateway, or make one with ipsec newhostkey",
            )
            yield Line(key, connection.value(key))
        elif connection.value(key) in ("%dns", "%dnsondemand", "%dnsonload"):
            yield Line(key, draft.fill_in(f"{key}=", "for keys are not taken from DNS"))
        elif connection.value(key):
            yield Line(key, connection.value(key))
        sending = connection.value(f"{side}sendcert")
        if sending:
            yield Line(f"{side}sendcert", _SEND_CERT.get(sending, "sendifasked"))


def _proposals(proposals: tuple[Proposal, ...], group: str) -> str:
    """The list; for the child the one group of perfect forward secrecy behind each proposal."""
    return ",".join(spell(p._replace(group=group) if group else p) for p in proposals) or FILL_IN


def _negotiated(wanted: Wanted) -> Iterator[Line]:
    yield Line("ikev2", "yes" if wanted.version == 2 else "no")
    if wanted.ike is not None:
        yield Line("ike", _proposals(wanted.ike, ""))
    yield from _phase2(wanted)
    yield Line("pfs", "yes" if wanted.pfs else "no")


def _phase2(wanted: Wanted) -> Iterator[Line]:
    if wanted.protocol == "ah":
        yield Line("phase2", "ah")
    if wanted.esp is not None:
        group = wanted.group if wanted.pfs else ""
        plain = tuple(p._replace(group="") for p in wanted.esp)
        yield Line("phase2alg" if wanted.protocol == "ah" else "esp", _proposals(plain, group))


def _times(connection: Connection, draft: Draft) -> Iterator[Line]:
    life = life_of(connection, draft)
    yield Line("ikelifetime", f"{life.ike}s")
    yield Line("salifetime", f"{life.child}s")
    yield Line("rekey", "yes" if life.rekey else "no")
    yield Line("rekeymargin", f"{life.margin}s")
    yield Line("rekeyfuzz", f"{round(life.fuzz * 100)}%")
    if connection.value("keyingtries"):
        yield Line("keyingtries", connection.value("keyingtries"))
    delay, timeout = connection.value("dpddelay"), connection.value("dpdtimeout")
    if delay and timeout:
        yield Line("dpddelay", delay)
        yield Line("dpdtimeout", timeout)
        yield Line("dpdaction", connection.value("dpdaction", "hold"))
    elif delay or timeout or connection.value("dpdaction"):
        draft.note("ET252", "dpdaction is left out: it needed both dpddelay and dpdtimeout")


def _rest(
    connection: Connection, wanted: Wanted, draft: Draft, *, short_icv: bool
) -> Iterator[Line]:
    yield Line("compress", "yes" if wanted.compress else "no")
    if wanted.version == 1 and connection.value("aggrmode", "no") == "yes":
        yield Line("aggressive", "yes")
    if "yes" in (connection.value("forceencaps"), connection.value("encapsulation")):
        yield Line("encapsulation", "yes")
    fragmentation = next(
        (v for n in ("fragmentation", "ikefrag", "ike_frag") if (v := connection.value(n))), ""
    )
    if fragmentation:
        yield Line("fragmentation", fragmentation)
    if short_icv:
        yield Line("sha2-truncbug", "yes")
    yield from _fallbacks(connection, draft)


def _fallbacks(connection: Connection, draft: Draft) -> Iterator[Line]:
    """What holds while there is no SA; never clear text."""
    failure = connection.value("failureshunt")
    if failure == "passthrough":
        draft.tell(
            "ET259",
            "failureshunt=passthrough lets packets go in clear when no SA can be had: it is left"
            " out, and they are dropped",
            connection.span_of("failureshunt"),
            hint="write it yourself if clear text is wanted",
        )
    elif failure and failure != "none":
        yield Line("failureshunt", failure)
    elif failure:
        draft.note("ET259", "failureshunt=none is the daemon's own default")
    negotiation = connection.value("negotiationshunt")
    if negotiation == "passthrough":
        draft.tell(
            "ET259",
            "negotiationshunt=passthrough is left out: packets wait while keys are negotiated",
            connection.span_of("negotiationshunt"),
        )
    elif negotiation:
        yield Line("negotiationshunt", negotiation)
