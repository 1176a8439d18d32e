"""What a connection of ipsec.conf asks for, in words that belong to no daemon."""

from __future__ import annotations

from typing import Final

from ...diagnostics import Collector
from ...klips.association import Address
from ...klips.automatic import SHUNT_TYPES
from ...klips.connection import Connection
from ...klips.host import KlipsHost
from ...klips.manual_keying import is_manual
from ...klips.sides import GROUPS, read_sides
from .draft import Draft
from .model import FILL_IN, Wanted
from .offered import list_of, pfs_group
from .proposals import Daemon


def connections_of(host: KlipsHost) -> tuple[Connection, ...]:
    """The connections of ipsec.conf that stand for themselves, policy groups left out.

    What is in a group is told by its eroutes, one for each line of its file.
    """
    if host.configuration is None:
        return ()
    return tuple(
        connection
        for connection in host.configuration.connections
        if not connection.is_part
        and not GROUPS & {connection.value("left"), connection.value("right")}
    )


def wanted_of(
    connection: Connection, local: tuple[Address, ...], daemon: Daemon, draft: Draft
) -> Wanted:
    """Read a connection of ipsec.conf; what is wrong with it goes to the draft."""
    problems = Collector()
    sides = read_sides(connection, local, problems)
    known = all(item.code == "ET168" for item in problems.items)
    if not known or (sides is None and daemon is Daemon.SWANCTL):
        for item in problems.items:
            draft.refuse(item.message, item.span, item.hint)
    kind = _kind_of(connection, draft)
    if kind in ("passthrough", "drop", "reject"):
        auto = connection.value("auto", "ignore")
        return Wanted(kind, sides, "none" if _STARTS.get(auto, "none") == "none" else "trap")
    protocol = _protocol(connection, draft)
    ike = list_of(connection, "ike", draft, daemon)
    esp = list_of(connection, "ah" if protocol == "ah" else "esp", draft, daemon)
    pfs = connection.value("pfs", "yes") != "no"
    return Wanted(
        kind,
        sides,
        "trap" if is_manual(connection) else _start(connection, draft),
        _version(connection, daemon, draft),
        _authentication(connection, draft),
        ike,
        esp,
        protocol,
        pfs,
        pfs_group(connection, ike, esp, draft, daemon) if pfs else "",
        connection.value("compress", "no") == "yes",
    )


def _kind_of(connection: Connection, draft: Draft) -> str:
    kind = connection.value("type", "tunnel")
    if kind in SHUNT_TYPES:
        return "passthrough" if kind == "pass" else kind
    if kind not in ("tunnel", "transport"):
        draft.refuse(f"type={kind} is not known", connection.span_of("type"))
    return kind


_STARTS: Final = {
    "ignore": "none",
    "manual": "none",
    "add": "none",
    "route": "trap",
    "ondemand": "trap",
    "start": "start",
    "up": "start",
    "keep": "start",
}


def _start(connection: Connection, draft: Draft) -> str:
    auto = connection.value("auto", "ignore")
    if _STARTS.get(auto) == "start":
        draft.note(
            "ET259",
            f"auto={auto}: until the first SA is there packets go their way in clear, as they did",
            connection.span_of("auto"),
            hint="auto=ondemand, in the old file too, holds them from the beginning",
        )
    if auto not in _STARTS:
        draft.refuse(f"auto={auto} is not known", connection.span_of("auto"))
    return _STARTS.get(auto, "none")


def _version(connection: Connection, daemon: Daemon, draft: Draft) -> int:
    """IKEv1, unless ``ikev2`` says more; ``permit`` and no word at all began with IKEv1."""
    word = connection.value("ikev2", "permit")
    span = connection.span_of("ikev2")
    if connection.value("keyexchange", "ike") not in ("ike", ""):
        draft.tell(
            "ET256",
            f"keyexchange={connection.value('keyexchange')} is not of that time: IKEv1 is taken",
            connection.span_of("keyexchange"),
        )
    if word in ("insist", "yes"):
        return 2
    if word == "propose":
        if daemon is Daemon.SWANCTL:
            return 0
        draft.tell("ET256", "ikev2=propose fell back to IKEv1; the daemon insists on IKEv2", span)
        return 2
    hint = "have the peer speak IKEv2, and set it here too"
    draft.tell(
        "ET256", "it began with IKEv1, which is carried and no longer maintained", span, hint=hint
    )
    if connection.value("aggrmode", "no") == "yes":
        draft.tell(
            "ET257",
            "aggressive mode shows the identities, and a shared secret can be guessed from it",
            connection.span_of("aggrmode"),
            hint="have the peer use main mode or IKEv2",
        )
    return 1


def _protocol(connection: Connection, draft: Draft) -> str:
    if connection.value("auth") == "ah":
        draft.refuse("AH beside ESP (auth=ah) is negotiated no more", connection.span_of("auth"))
    word = connection.value("phase2", "esp")
    if word not in ("esp", "ah"):
        draft.refuse(f"phase2={word} is not known", connection.span_of("phase2"))
    if word == "ah":
        draft.tell("ET253", "AH encrypts nothing", connection.span_of("phase2"))
    return word


_RAW_KEYS: Final = ("%cert", "%dns", "%dnsondemand", "%dnsonload", "%none", "")


def has_raw_key(connection: Connection, side: str) -> bool:
    """Whether a public key of this side stands in the file."""
    return connection.value(f"{side}rsasigkey") not in _RAW_KEYS


def _authentication(connection: Connection, draft: Draft) -> str:
    word = connection.value("authby")
    span = connection.span_of("authby")
    if is_manual(connection):
        draft.tell_keyed_by_hand()
        return draft.fill_in("how to authenticate", "for manual keying had no need of it", span)
    if word == "secret":
        return "psk"
    named = any(
        connection.value(f"{side}{name}") not in ("", "%none")
        for side in ("left", "right")
        for name in ("rsasigkey", "cert", "ckaid")
    )
    if word == "rsasig" or (not word and named):
        return "rsa"
    if word in ("null", "never"):
        draft.refuse(f"authby={word} with a tunnel authenticates nobody", span)
        return FILL_IN
    why = f"for authby={word} is no one method" if word else "for there is no authby="
    return draft.fill_in("how to authenticate", why, span)
