"""Routes and routing rules as net-tools and iproute2 print them.

KLIPS saw only packets that the routing table sent into ``ipsecN``, so the routes of a host belong
to its policy.  Read are the rows of ``netstat -rn`` and ``route -n`` (net-tools, lib/inet_gr.c and
lib/inet6_gr.c), of ``ip route`` for both families (iproute2, ip/iproute.c) and of ``ip rule``
(ip/iprule.c).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from ..diagnostics import Collector, Diagnostic, Severity, Span
from ..net import LENGTH_OF_MASK, Prefix, parse_address, parse_prefix
from .interface import Route, RoutingRule


class RouteContext(NamedTuple):
    """What the surroundings of a row tell of it.

    ``family`` is that of a ``default`` which names no address, ``table`` and ``device`` are those
    of the command (``ip route show table 50 dev ipsec0`` leaves them out of its rows),
    ``metric_column`` tells that the fifth column of net-tools is the metric (``route -n``) and
    not the segment size (``netstat -rn``), ``destination`` is that of a route whose next hops
    follow on lines of their own.
    """

    family: int = 4
    table: str = "main"
    device: str = ""
    metric_column: bool = False
    destination: Prefix | None = None


NO_CONTEXT: Final = RouteContext()
"""Nothing is known of the surroundings."""

ANYWHERE: Final = {4: Prefix(4, 0, 0), 6: Prefix(6, 0, 0)}
"""The destination of a default route, by family."""

KINDS: Final = (
    "unicast",
    "local",
    "broadcast",
    "multicast",
    "anycast",
    "blackhole",
    "unreachable",
    "prohibit",
    "throw",
)
"""What ``ip route`` prints in front of a destination; ``unicast`` is left out as a rule."""

DEVICELESS: Final = frozenset({"blackhole", "unreachable", "prohibit", "throw"})
"""Kinds of routes that end here: no packet leaves by them."""

_QUAD: Final = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_NAME: Final = r"[A-Za-z0-9_.-]+"
_NUMBER: Final = r"(?:[0-9]+|-)"
_TABLE_ROW: Final = re.compile(
    rf"\s*(?P<destination>{_NAME})[ \t]+(?P<gateway>{_NAME}|\*)[ \t]+(?P<mask>{_QUAD})[ \t]+"
    rf"(?P<flags>[UGHRDMAC!]+)[ \t]+(?P<first>{_NUMBER})[ \t]+{_NUMBER}[ \t]+{_NUMBER}"
    rf"[ \t]+(?P<device>[^\s:]\S*)"
    rf"(?:[ \t]+{_NUMBER}[ \t]+{_NUMBER}[ \t]+{_NUMBER})?\s*\Z",
    re.ASCII,
)
_TABLE_ROW_6: Final = re.compile(
    r"\s*(?P<destination>[0-9a-f:.]+/[0-9]{1,3}|default|\[::\]/0)"
    r"[ \t]+(?P<gateway>[0-9a-f:.]+|\*|\[::\])"
    r"[ \t]+(?P<flags>[UGHRDMACnea!]+)[ \t]+(?P<first>-?[0-9]+)[ \t]+[0-9]+[ \t]+[0-9]+"
    r"[ \t]+(?P<device>\S+)\s*\Z",
    re.ASCII,
)
_WORDS: Final = r"(?:via|dev|proto|scope|src|metric|table|nexthop|error|mtu|advmss|onlink|tos)"
_IPROUTE_ROW: Final = re.compile(
    rf"\s*(?:(?:{'|'.join(KINDS)}) +)?(?:default|{_QUAD}(?:/[0-9]+)?"
    r"|(?=[^ ]*:[^ ]*:)[0-9a-f:.]+(?:/[0-9]+)?)"
    rf"(?: +{_WORDS} .*|\s*\\?)\Z",
    re.ASCII,
)
_BARE: Final = re.compile(rf"\s*(?:(?:{'|'.join(DEVICELESS)}) +)\S+\s*\Z", re.ASCII)
_NEXT_HOP: Final = re.compile(r"\s*nexthop +(?:via|dev) .*\Z", re.ASCII)
_RULE: Final = re.compile(
    r"\s*(?P<priority>[0-9]{1,10}):\s+(?P<rest>(?:not +)?from .*)\Z", re.ASCII
)
_COLUMNS: Final = re.compile(
    r"\s*(?:Destination[ \t]+(?:Gateway|Next Hop)[ \t].*(?:Flags?|Iface|If)\b.*"
    r"|Kernel (?:IP|IPv6) routing table.*)\Z"
)
_CACHE: Final = re.compile(r"\s+cache\b.*\Z")

_VALUED: Final = frozenset(
    {
        "proto",
        "scope",
        "error",
        "mtu",
        "advmss",
        "hoplimit",
        "pref",
        "tos",
        "dsfield",
        "realm",
        "realms",
        "expires",
        "weight",
        "window",
        "rtt",
        "rttvar",
        "rto_min",
        "ssthresh",
        "cwnd",
        "initcwnd",
        "initrwnd",
        "reordering",
        "features",
        "quickack",
        "congctl",
        "from",
        "iif",
        "age",
        "users",
        "used",
        "uid",
        "nhid",
        "ipid",
        "ts",
        "tsage",
        "mpath_hash",
        "fastopen_no_cookie",
    }
)
"""Words of ``ip route`` with a value, which say nothing about where a packet goes."""

_FLAGS: Final = frozenset(
    {
        "onlink",
        "linkdown",
        "dead",
        "pervasive",
        "offload",
        "trap",
        "rt_offload",
        "notify",
        "cache",
    }
)
_UNLESS_VALUE: Final = frozenset({"lock"})
"""``mtu lock 1400`` has a word between."""


def looks_like_route(line: str) -> bool:
    """Whether a line has the shape of a row of a routing table, a next hop included."""
    return (
        _TABLE_ROW.match(line) is not None
        or _TABLE_ROW_6.match(line) is not None
        or _is_iproute(line)
        or _NEXT_HOP.match(line) is not None
    )


def _is_iproute(line: str) -> bool:
    if _BARE.match(line):
        return True
    # A bare address or prefix on a line of its own may be anything.
    return _IPROUTE_ROW.match(line) is not None and len(line.split()) > 1


def is_next_hop(line: str) -> bool:
    """Whether a line is one of the next hops of the route above it."""
    return _NEXT_HOP.match(line) is not None


def looks_like_rule(line: str) -> bool:
    """Whether a line has the shape of a row of ``ip rule``."""
    return _RULE.match(line) is not None


def is_route_heading(line: str) -> bool:
    """Whether a line is a heading of net-tools."""
    return _COLUMNS.match(line) is not None


def is_cache_line(line: str) -> bool:
    """Whether a line says that the route above it is a clone in the cache, not in the table."""
    return _CACHE.match(line) is not None


def has_metric_column(heading: str) -> bool:
    """Whether the columns under this heading of net-tools have the metric in the fifth place."""
    return re.search(r"\sMet", heading) is not None


def read_route(
    line: str, span: Span, collector: Collector, context: RouteContext = NO_CONTEXT
) -> Route | None:
    """Read one row; ``None`` with a diagnostic (ET140) when it cannot be read.

    A route whose next hops follow on lines of their own has no device; such lines are read with
    the destination in ``context``.  Host bits of a destination are kept.
    """
    try:
        match = _TABLE_ROW.match(line)
        if match is not None:
            return _net_tools(match, span, context)
        match = _TABLE_ROW_6.match(line)
        if match is not None:
            return _net_tools_6(match, span)
        return _iproute(line.rstrip("\\ ").split(), span, context)
    except ValueError as error:
        collector.add(_unreadable("ET140", "this route cannot be read", error, line, span))
        return None


def _unreadable(code: str, what: str, error: ValueError, line: str, span: Span) -> Diagnostic:
    return Diagnostic(
        code,
        Severity.WARNING,
        f"{what}: {error}",
        span,
        excerpt=line,
        hint="it has no part in the translation; print the table with numbers (-n) and whole",
    )


_NO_GATEWAY: Final = frozenset({"*", "-", "0.0.0.0"})  # noqa: S104 - a column of the table


def _net_tools(match: re.Match[str], span: Span, context: RouteContext) -> Route:
    destination = _net_tools_destination(match["destination"], match["mask"])
    gateway = match["gateway"]
    reject = "!" in match["flags"]
    hop = None if gateway in _NO_GATEWAY else parse_address(gateway, 4)
    if hop is not None and "G" not in match["flags"]:
        hop = None
    first = match["first"]
    return Route(
        destination,
        "" if reject else match["device"],
        span,
        hop,
        metric=int(first) if context.metric_column and first != "-" else 0,
        table=context.table,
        kind="unreachable" if reject else "unicast",
    )


def _net_tools_destination(text: str, mask_text: str) -> Prefix:
    _, mask = parse_address(mask_text, 4)
    if mask not in LENGTH_OF_MASK[4]:
        raise ValueError(f"{mask_text!r} is not a mask of a route")
    if text == "default":
        return Prefix(4, 0, mask)
    return Prefix(4, parse_address(text, 4)[1], mask)


def _net_tools_6(match: re.Match[str], span: Span) -> Route:
    text = match["destination"].replace("[", "").replace("]", "")
    reject = "!" in match["flags"]
    gateway = match["gateway"].strip("[]")
    hop = None if gateway in ("::", "*") else parse_address(gateway, 6)
    return Route(
        ANYWHERE[6] if text == "default" else parse_prefix(text),
        "" if reject else match["device"],
        span,
        hop,
        metric=max(0, int(match["first"])),
        # RTF_LOCAL has no letter; the tools print local addresses with U, n and the device lo.
        kind="unreachable" if reject else "local" if match["device"] == "lo" else "unicast",
    )


def _iproute(words: list[str], span: Span, context: RouteContext) -> Route:
    kind = "unicast"
    if words and words[0] in KINDS:
        kind = words.pop(0)
    target = ""
    if words and words[0] != "nexthop":
        target = words.pop(0)
    elif context.destination is None:
        raise ValueError("the route of this next hop is not known")
    elif words:
        words.pop(0)
    values = _attributes(words)
    gateway = parse_address(values["via"]) if "via" in values else None
    source = parse_address(values["src"]) if "src" in values else None
    family = next((a[0] for a in (gateway, source) if a is not None), context.family)
    if not target and context.destination is not None:
        destination = context.destination
    elif target == "default":
        destination = ANYWHERE[family]
    else:
        destination = parse_prefix(target)
    metric = values.get("metric", "0")
    if not (metric.isascii() and metric.isdecimal()) or len(metric) > 10:
        raise ValueError(f"{metric!r} is not a metric")
    return Route(
        destination,
        "" if kind in DEVICELESS else values.get("dev", context.device),
        span,
        gateway,
        source,
        int(metric),
        values.get("table", context.table),
        kind,
        values.get("proto", ""),
    )


def _attributes(words: list[str]) -> dict[str, str]:
    """The words behind a destination as names and values.  Raises ``ValueError``."""
    values: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word in ("via", "dev", "src", "metric", "table"):
            value = next(rest, "")
            if word == "via" and value in ("inet", "inet6"):
                value = next(rest, "")
            if not value:
                raise ValueError(f"the row ends after {word!r}")
            if values.setdefault(word, value) != value:
                raise ValueError(f"{word!r} stands twice")
        elif word in _VALUED:
            value = next(rest, "")
            if word == "proto":
                values[word] = value
            if value in _UNLESS_VALUE:
                next(rest, "")
        elif word.startswith("<") and word.endswith(">"):
            continue
        elif word not in _FLAGS and not _DURATION.match(word):
            raise ValueError(f"{word!r} is not a word of a route")
    return values


_DURATION: Final = re.compile(r"[0-9.]+(?:sec|ms|us)\Z", re.ASCII)

_RULE_ACTIONS: Final = frozenset({"lookup", "blackhole", "unreachable", "prohibit", "nop"})


def read_rule(line: str, span: Span, collector: Collector) -> RoutingRule | None:
    """Read one row of ``ip rule``; ``None`` with a diagnostic (ET141) when it cannot be read."""
    match = _RULE.match(line)
    if match is None:
        return None
    try:
        return rule_of_words(int(match["priority"]), match["rest"].split(), span)
    except ValueError as error:
        collector.add(_unreadable("ET141", "this routing rule cannot be read", error, line, span))
        return None


def rule_of_words(priority: int, words: Sequence[str], span: Span) -> RoutingRule:
    """A rule as its words stand in a row or behind ``ip rule add``.  Raises ``ValueError``."""
    inverted = list(words[:1]) == ["not"]
    source: Prefix | None = None
    destination: Prefix | None = None
    mark: tuple[int, int] | None = None
    incoming = table = ""
    others: list[str] = []
    rest = iter(words[1:] if inverted else words)
    for word in rest:
        if word in ("from", "to"):
            prefix = _rule_prefix(next(rest, ""))
            source, destination = (prefix, destination) if word == "from" else (source, prefix)
        elif word == "fwmark":
            value, _, mask = next(rest, "").partition("/")
            mark = (int(value, 0), int(mask, 0) if mask else 0xFFFFFFFF)
        elif word == "iif":
            incoming = next(rest, "")
        elif word in ("lookup", "table"):
            table = next(rest, "")
        elif word in _RULE_ACTIONS:
            table = word
        else:
            others.append(word)
    if not table:
        raise ValueError("it names no table")
    return RoutingRule(
        priority, table, span, source, destination, mark, incoming, inverted, tuple(others)
    )


def _rule_prefix(text: str) -> Prefix | None:
    return None if text == "all" else parse_prefix(text)
