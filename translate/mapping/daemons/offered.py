"""What a daemon offers of the proposals and groups of a connection, with a finding for the rest."""

from __future__ import annotations

from ...diagnostics import Span
from ...klips.connection import Connection
from ...klips.manual_keying import is_manual
from .draft import Draft
from .proposals import Daemon, Proposal, judge, parse_group, parse_proposals, strength


def list_of(
    connection: Connection, protocol: str, draft: Draft, daemon: Daemon
) -> tuple[Proposal, ...] | None:
    """``ike``, ``esp`` (or ``phase2alg``) or ``ah``, as the daemon takes it."""
    names = ("ike",) if protocol == "ike" else (protocol, "phase2alg")
    name = next((n for n in names if connection.value(n)), "")
    if not name:
        if not is_manual(connection):
            draft.tell(
                "ET255",
                f"no {names[0]}= is written: the daemon offers its own list, and the old one"
                " offered 3DES and AES with MD5 and SHA-1, and small groups",
                hint=f"write {names[0]}= if the peer is as old",
            )
        return None
    span = connection.span_of(name)
    try:
        found = parse_proposals(
            connection.value(name), protocol="ah" if protocol == "ah" else "esp"
        )
    except ValueError as error:
        draft.fill_in(f"{names[0]}=", f"for {name}= cannot be read: {error}", span)
        return ()
    return judged(found, protocol, draft, daemon, span)


def judged(
    proposals: tuple[Proposal, ...], protocol: str, draft: Draft, daemon: Daemon, span: Span
) -> tuple[Proposal, ...]:
    """What the daemon takes of a list, with a finding for each proposal that it would not offer."""
    kept, remarks = judge(proposals, daemon, ike=protocol == "ike")
    for left_out, text in remarks:
        draft.tell("ET254" if left_out else "ET253", f"{protocol} proposal {text}", span)
    if not kept:
        draft.fill_in(f"{protocol}=", "for the daemon takes none of the old proposals", span)
    return kept


def pfs_group(
    connection: Connection,
    ike: tuple[Proposal, ...] | None,
    esp: tuple[Proposal, ...] | None,
    draft: Draft,
    daemon: Daemon,
) -> str:
    """The group of perfect forward secrecy: ``pfsgroup``, else that of ``esp``, else of IKE."""
    written = connection.value("pfsgroup")
    if written:
        span = connection.span_of("pfsgroup")
        try:
            group = parse_group(written)
        except ValueError as error:
            draft.fill_in("pfsgroup", f"for it cannot be read: {error}", span)
            return ""
        kept, remarks = judge((Proposal("", 0, "", group),), daemon, ike=False)
        for left_out, text in remarks:
            draft.tell("ET254" if left_out else "ET253", f"pfsgroup {text}", span)
        if not kept:
            draft.fill_in("pfsgroup", "for the daemon has the old group no more", span)
        return group if kept else ""
    # Phase 2 took the group that phase 1 had agreed upon; one has to be chosen before.
    groups = [p.group for p in esp or () if p.group] or [p.group for p in ike or () if p.group]
    return max(groups, key=strength, default="")
