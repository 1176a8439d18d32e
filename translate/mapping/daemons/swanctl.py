"""Connections for strongSwan: swanctl.conf(5), sides as local and remote."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

from ...klips.connection import Connection
from ...klips.sides import Side, Sides
from ...net import Selector
from .draft import Draft
from .lines import Life, life_of, same_lines, seconds, value_of
from .model import FILL_IN, Line, Section, Shown, Wanted, address_text, prefix_text
from .proposals import Daemon, Proposal, spell_for_strongswan
from .public_key import public_key
from .wanted import has_raw_key

_DPD_ACTIONS: Final = {
    "hold": "trap",
    "clear": "clear",
    "restart": "start",
    "restart_by_peer": "start",
}
_SEND_CERT: Final = {
    "yes": "always",
    "always": "always",
    "no": "never",
    "never": "never",
    "ifasked": "ifasked",
    "sendifasked": "ifasked",
}
_NOBODY: Final = Line("remote_addrs", "127.0.0.1")
"""The peer of a connection that holds shunts alone: nobody comes from there."""

_STRONGSWAN_MODES: Final = {"passthrough": "pass", "drop": "drop", "reject": "drop"}

Parts = tuple[list[Line], list[Section], list[Section]]
"""The lines of a connection, its sections for the two sides, its children."""


def parts_of(
    connection: Connection, wanted: Wanted, draft: Draft, *, short_icv: bool, unique: bool
) -> Parts:
    """The parts of a connection of ipsec.conf.

    ``short_icv`` as in :func:`_child`; ``unique`` tells that a peer that comes anew takes the place
    of its old connection (``uniqueids``, of the whole daemon then).
    """
    sides = wanted.sides
    if sides is None:
        return [], [], []
    if wanted.is_shunt:
        shunts = [_shunt(selector, wanted, draft) for selector in sides.selectors()]
        return [_NOBODY], [], _children(draft.name, shunts)
    life = life_of(connection, draft)
    lines = [
        *_ends(wanted, connection),
        Line("unique", "replace" if unique else "no"),
        *_ike(connection, wanted, life, draft),
        *same_lines(connection, draft, Daemon.SWANCTL),
    ]
    local = Section("local", tuple(_side(connection, sides.ours, wanted, draft, ours=True)))
    remote = Section("remote", tuple(_side(connection, sides.theirs, wanted, draft, ours=False)))
    common = list(_child(connection, wanted, life, draft, short_icv=short_icv))
    children = [
        [*pair, Line("mode", wanted.kind), *common] for pair in _traffic(sides, wanted.kind)
    ]
    for name in (f"{sides.ours.name}nexthop", f"{sides.theirs.name}nexthop"):
        if connection.value(name):
            draft.note(
                "ET252",
                f"{name} is left out: the routing table tells the way to the peer",
                connection.span_of(name),
            )
    return lines, [local, remote], _children(draft.name, children)


def parts_of_shown(shown: Shown, draft: Draft) -> Parts:
    """The parts for an eroute that no connection accounts for."""
    wanted, selector = shown.wanted, shown.selector
    if wanted.is_shunt or shown.peer is None:
        return [_NOBODY], [], _children(draft.name, [_shunt(selector, wanted, draft)])
    peer = address_text(shown.peer)
    lines = [Line("local_addrs", address_text(shown.ours))] if shown.ours else []
    lines.append(Line("remote_addrs", peer))
    unknown = (Line("auth", wanted.authentication), Line("id", FILL_IN))
    sides = [Section("local", unknown), Section("remote", unknown)]
    child = [
        Line("local_ts", _ts(selector, near=True)),
        Line("remote_ts", _ts(selector, near=False)),
        Line("mode", wanted.kind),
        *_child_proposals(wanted, draft),
        Line("ipcomp", "yes" if wanted.compress else "no"),
        Line("start_action", "trap"),
    ]
    return lines, sides, _children(draft.name, [child])


def _children(name: str, found: list[list[Line]]) -> list[Section]:
    if len(found) == 1:
        return [Section(name, tuple(found[0]))]
    return [Section(f"{name}-{n}", tuple(lines)) for n, lines in enumerate(found, 1)]


def _shunt(selector: Selector, wanted: Wanted, draft: Draft) -> list[Line]:
    if not any(finding.code == "ET261" for finding in draft.findings):
        draft.note_shunt(rejects=wanted.kind == "reject")
    return [
        Line("local_ts", _ts(selector, near=True)),
        Line("remote_ts", _ts(selector, near=False)),
        Line("mode", _STRONGSWAN_MODES[wanted.kind]),
        Line("start_action", "none" if wanted.start == "none" else "trap"),
    ]


# -- traffic


def _ts(selector: Selector, *, near: bool) -> str:
    prefix = selector.source if near else selector.destination
    port = selector.source_port if near else selector.destination_port
    return prefix_text(prefix) + _suffix(selector.protocol, port)


def _suffix(protocol: int, port: int) -> str:
    if not protocol:
        return ""
    return f"[{protocol}/{port}]" if port else f"[{protocol}]"


def _traffic(sides: Sides, kind: str) -> Iterator[list[Line]]:
    """The networks of each child: with IKEv1 it has one of each side."""
    ours, theirs = sides.ours, sides.theirs
    near = _networks(ours, sides.protocol, dynamic=kind == "transport")
    far = _networks(theirs, sides.protocol, dynamic=kind == "transport")
    for one, other in product(near, far):
        if (
            one.startswith("dynamic")
            or other.startswith("dynamic")
            or (":" in one) == (":" in other)
        ):
            yield [Line("local_ts", one), Line("remote_ts", other)]


def _networks(side: Side, protocol: int, *, dynamic: bool) -> list[str]:
    suffix = _suffix(protocol, side.port)
    if dynamic or not side.clients:
        return [f"dynamic{suffix}"]
    return [f"{prefix_text(client)}{suffix}" for client in side.clients]


# -- IKE


def _ends(wanted: Wanted, connection: Connection) -> Iterator[Line]:
    yield Line("version", str(wanted.version))
    if wanted.version == 1 and connection.value("aggrmode", "no") == "yes":
        yield Line("aggressive", "yes")
    if wanted.sides is None:
        return
    for name, side in (("local_addrs", wanted.sides.ours), ("remote_addrs", wanted.sides.theirs)):
        if side.address is not None:
            yield Line(name, address_text(side.address))


def _ike(connection: Connection, wanted: Wanted, life: Life, draft: Draft) -> Iterator[Line]:
    if wanted.ike is not None:
        if any(not p.group or not p.integrity for p in wanted.ike):
            value = draft.fill_in("proposals", "for ike= names a cipher, but no hash or no group")
        else:
            value = ", ".join(map(spell_for_strongswan, wanted.ike)) or FILL_IN
        yield Line("proposals", value)
    if life.rekey:
        yield Line("rekey_time", f"{max(life.ike - life.margin, life.ike // 2)}s")
        yield Line("over_time", f"{min(life.margin, life.ike // 2)}s")
        yield Line("rand_time", f"{int(life.margin * life.fuzz)}s")
    else:
        yield Line("rekey_time", "0s")
        draft.tell(
            "ET259",
            "rekey=no: strongSwan lets such an IKE SA live until the peer or DPD ends it",
            connection.span_of("rekey"),
        )
    tries = connection.value("keyingtries", "%forever")
    if tries not in ("%forever", "0") and not tries.isdecimal():
        draft.tell("ET259", f"keyingtries={tries} is no number: it tries forever")
        tries = "0"
    yield Line("keyingtries", "0" if tries == "%forever" else tries)
    yield from _dead_peer(connection, draft)
    if "yes" in (connection.value("forceencaps"), connection.value("encapsulation")):
        yield Line("encap", "yes")
    for name in ("fragmentation", "ikefrag", "ike_frag"):
        if connection.value(name) in ("yes", "no", "force"):
            yield Line("fragmentation", connection.value(name))
            break
    for side in ("left", "right"):
        sending = connection.value(f"{side}sendcert")
        if sending and wanted.sides is not None and wanted.sides.ours.name == side:
            yield Line("send_cert", _SEND_CERT.get(sending, "ifasked"))
        elif sending:
            draft.note(
                "ET252",
                f"{side}sendcert is left out: it is for the peer to decide",
                connection.span_of(f"{side}sendcert"),
            )


def _dead_peer(connection: Connection, draft: Draft) -> Iterator[Line]:
    if not (connection.value("dpddelay") and connection.value("dpdtimeout")):
        if any(connection.value(n) for n in ("dpddelay", "dpdtimeout", "dpdaction")):
            draft.note("ET252", "dpdaction is left out: it needed both dpddelay and dpdtimeout")
        return
    yield Line("dpd_delay", f"{seconds(connection, ('dpddelay',), 30, draft)}s")
    yield Line("dpd_timeout", f"{seconds(connection, ('dpdtimeout',), 120, draft)}s")


def _side(
    connection: Connection, side: Side, wanted: Wanted, draft: Draft, *, ours: bool
) -> Iterator[Line]:
    method = {"psk": "psk", "rsa": "pubkey"}.get(wanted.authentication, FILL_IN)
    yield Line("auth", method)
    name = f"{side.name}id"
    identity = value_of(connection, name, draft)
    if identity in ("%myid", "%fromcert"):
        identity = draft.fill_in(f"{name}=", f"for {identity} stands for something else")
    by_certificate = wanted.authentication == "rsa" and connection.value(f"{side.name}cert")
    if by_certificate and not identity:
        pass  # the subject of the certificate, then and now
    elif not identity and not ours:
        # strongSwan takes any identity when none is named; the old daemon took the address.
        identity = "%any" if side.address is None else address_text(side.address)
    elif not identity and side.address is not None:
        identity = address_text(side.address)
    if identity:
        yield Line("id", identity)
    if wanted.authentication == "rsa":
        yield from _credentials(connection, side, draft, ours=ours)


def _credentials(connection: Connection, side: Side, draft: Draft, *, ours: bool) -> Iterator[Line]:
    certificate, key = f"{side.name}cert", f"{side.name}rsasigkey"
    if connection.value(certificate):
        draft.tell(
            "ET258",
            f"{certificate} is a file below /etc/swanctl/x509 now",
            connection.span_of(certificate),
            hint="put the certificate there, and the private key below /etc/swanctl/private",
        )
        yield Line("certs", value_of(connection, certificate, draft).rpartition("/")[2])
    elif has_raw_key(connection, side.name):
        yield Line("pubkeys", _raw_key(connection, key, draft, ours=ours))
    elif connection.value(key) in ("%dns", "%dnsondemand", "%dnsonload"):
        yield Line("pubkeys", draft.fill_in(f"{key}=", "for keys are not taken from DNS"))
    elif ours:
        yield Line("certs", draft.fill_in("our certificate", f"for there is no {certificate}="))


def _raw_key(connection: Connection, name: str, draft: Draft, *, ours: bool) -> str:
    """The file with a raw key, whose text stands at the end of ours."""
    span = connection.span_of(name)
    try:
        key = public_key(connection.value(name), span)
    except ValueError as error:
        return draft.fill_in(f"the key of {name}=", f"for {error}", span)
    draft.public_keys.append(key)
    draft.tell(
        "ET258",
        f"{name} is the file {key.name} below /etc/swanctl/pubkey now"
        + (", and needs its private key below /etc/swanctl/private" if ours else ""),
        span,
        hint="the end of the file tells how to write it"
        + ("; for the private key see docs/daemons.md" if ours else ""),
    )
    return key.name


# -- children


def _child_proposals(wanted: Wanted, draft: Draft) -> Iterator[Line]:
    """With perfect forward secrecy each proposal names the group: the default list has none."""
    name = "ah_proposals" if wanted.protocol == "ah" else "esp_proposals"
    found = wanted.esp
    if found is None and not wanted.pfs:
        return
    if found is None:
        yield Line(
            name,
            draft.fill_in(name, "and the daemon's own list has no perfect forward secrecy"),
        )
        return
    if not found:
        yield Line(name, FILL_IN)
        return
    if wanted.pfs and not wanted.group:
        yield Line(
            name,
            draft.fill_in(
                "the group of perfect forward secrecy", f"which each of {_joined(found, '')} needs"
            ),
        )
    elif wanted.protocol == "esp" and any(not p.integrity for p in found):
        yield Line(name, draft.fill_in(name, "for esp= names a cipher, but no hash"))
    else:
        yield Line(name, _joined(found, wanted.group if wanted.pfs else ""))


def _joined(proposals: tuple[Proposal, ...], group: str) -> str:
    return ", ".join(spell_for_strongswan(p._replace(group=group)) for p in proposals)


def _child(
    connection: Connection, wanted: Wanted, life: Life, draft: Draft, *, short_icv: bool
) -> Iterator[Line]:
    """What all children of a connection share.

    ``short_icv`` asks for check values of SHA-2-256 with 96 bits.
    """
    yield from _child_proposals(wanted, draft)
    if life.rekey:
        yield Line("rekey_time", f"{max(life.child - life.margin, life.child // 2)}s")
        yield Line("rand_time", f"{int(life.margin * life.fuzz)}s")
    else:
        yield Line("rekey_time", "0s")
    yield Line("life_time", f"{life.child}s")
    yield Line("ipcomp", "yes" if wanted.compress else "no")
    if short_icv:
        yield Line("sha256_96", "yes")
    if connection.value("dpddelay") and connection.value("dpdtimeout"):
        action = connection.value("dpdaction", "hold")
        yield Line("dpd_action", _DPD_ACTIONS.get(action, "trap"))
    for name in ("failureshunt", "negotiationshunt"):
        if connection.value(name) == "passthrough":
            draft.tell(
                "ET259",
                f"{name}=passthrough let packets go in clear without an SA: they are dropped now",
                connection.span_of(name),
            )
        elif connection.value(name):
            draft.note("ET259", f"{name} is left out: packets are dropped until there is an SA")
    start = wanted.start
    if start != "none" and (wanted.sides is None or wanted.sides.theirs.address is None):
        draft.note("ET259", "nothing can be started towards a peer that is not known: it waits")
        start = "none"
    yield Line("start_action", start)
