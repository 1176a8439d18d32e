"""``ifconfig``, ``route`` and ``ip`` as a script calls them: addresses, routes, routing rules.

They are played on a model, since what led into ``ipsecN`` belongs to the policy of a KLIPS host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ..diagnostics import Span
from ..net import ALL_ONES, MASK_OF_LENGTH, WIDTH, Prefix
from .address import parse_klips_address, parse_subnet
from .interface import InterfaceAddress, Route, RoutingRule
from .routes import DEVICELESS, KINDS, rule_of_words

COMMANDS: Final = ("ip", "route", "ifconfig")
_VALUED: Final = frozenset(
    {"via", "dev", "src", "metric", "table", "proto", "scope", "mtu", "advmss", "window", "onlink"}
)
_MAIN: Final = ("main", "254")


class Network:
    """Addresses, routes and rules after the commands so far."""

    def __init__(self) -> None:
        self.addresses: list[InterfaceAddress] = []
        self.routes: list[Route] = []
        self.rules: list[RoutingRule] = []
        self._family = 4

    def play(self, name: str, words: Sequence[str], place: Span) -> None:
        """Play one command.  Raises ``ValueError`` (with why) when it is not understood."""
        try:
            match name:
                case "ifconfig":
                    self._ifconfig(list(words), place)
                case "route":
                    self._route(list(words), place)
                case _:
                    self._family = 6 if {"-6", "inet6"}.intersection(words) else 4
                    self._ip([word for word in words if word not in _IP_OPTIONS], place)
        except (IndexError, KeyError) as error:
            raise ValueError("something is missing in it") from error

    def _down(self, device: str) -> None:
        """An interface that goes down takes its routes along; 0.0.0.0 its address too."""
        self.routes = [route for route in self.routes if route.device != device]

    # -- ifconfig

    def _ifconfig(self, words: list[str], place: Span) -> None:
        if len(words) < 2:
            return
        device, rest = words[0], words[1:]
        if "down" in rest:
            self._down(device)
            return
        if rest[0] in ("inet", "add"):
            rest = rest[1:]
        if rest[0] == "inet6":
            rest = rest[2:] if rest[1] == "add" else rest[1:]
        if rest[0] in ("up", "mtu", "netmask", "txqueuelen", "hw", "-arp", "arp", "broadcast"):
            return
        options = {rest[i]: rest[i + 1] for i in range(1, len(rest) - 1)}
        text, slash, length = rest[0].partition("/")
        family, number = parse_klips_address(text)
        if slash:
            mask = _mask(family, length)
        elif "netmask" in options:
            mask = parse_subnet(f"0.0.0.0/{options['netmask']}").mask
        else:
            mask = ALL_ONES[family]
        self._address(device, Prefix(family, number, mask), place)

    def _address(self, device: str, network: Prefix, place: Span) -> None:
        if network.family == 4:
            # One IPv4 address for each name: a second one takes its place.
            self.addresses = [
                a for a in self.addresses if a.device != device or a.network.family != 4
            ]
        if network.address:
            self.addresses.append(InterfaceAddress(device, network, place))
        else:
            self._down(device)

    # -- route

    def _route(self, words: list[str], place: Span) -> None:
        family = 4
        while words and words[0].startswith("-"):
            option = words.pop(0)
            if option == "-A":
                option = words.pop(0)
            if option.lstrip("-") in ("inet6", "6"):
                family = 6
        if not words or words[0] not in ("add", "del", "delete"):
            return
        action, words = words[0], words[1:]
        route = _net_tools_route(words, family, place)
        if action == "add":
            # The ioctl puts a route before others to the same destination (fib_table_insert).
            self._before(route)
        else:
            self._delete(route, any(word in words for word in ("dev", "gw")))

    def _before(self, route: Route) -> None:
        places = [i for i, r in enumerate(self.routes) if r.destination == route.destination]
        self.routes.insert(places[0] if places else len(self.routes), route)

    def _delete(self, route: Route, narrow: bool) -> None:
        for held in self.routes:
            same = (held.destination, held.table) == (route.destination, route.table)
            if same and (
                not narrow
                or (route.device in ("", held.device) and route.gateway in (None, held.gateway))
            ):
                self.routes.remove(held)
                return
        raise ValueError("there is no such route to delete")

    # -- ip

    def _ip(self, words: list[str], place: Span) -> None:
        if not words:
            return
        kind, rest = words[0], words[1:]
        for name, play in self._objects():
            if name.startswith(kind):
                if rest:
                    play(rest, place)
                return

    def _objects(self) -> tuple[tuple[str, Callable[[list[str], Span], None]], ...]:
        """Objects by what their first letters mean: ``ip r`` is ``ip route``."""
        return (
            ("address", self._ip_address),
            ("route", self._ip_route),
            ("rule", self._ip_rule),
            ("link", self._ip_link),
        )

    def _ip_link(self, words: list[str], _place: Span) -> None:
        if words[0] == "set" and "down" in words:
            rest = [word for word in words[1:] if word != "dev"]
            self._down(rest[0])

    def _ip_address(self, words: list[str], place: Span) -> None:
        action = words[0]
        if "add".startswith(action) or action in ("replace", "change"):
            device = words[words.index("dev") + 1]
            text, _, length = words[1 if words[1] != "dev" else 3].partition("/")
            family, number = parse_klips_address(text)
            mask = _mask(family, length) if length else ALL_ONES[family]
            self.addresses.append(InterfaceAddress(device, Prefix(family, number, mask), place))
        elif "delete".startswith(action):
            device = words[words.index("dev") + 1]
            family, number = parse_klips_address(words[1].partition("/")[0])
            self.addresses = [
                a
                for a in self.addresses
                if (a.device, a.network.family, a.network.address) != (device, family, number)
            ]
        elif "flush".startswith(action):
            device = words[-1]
            self.addresses = [a for a in self.addresses if a.device != device]
            self._down(device)

    def _ip_route(self, words: list[str], place: Span) -> None:
        action, rest = words[0], words[1:]
        if "flush".startswith(action):
            self._flush(rest)
            return
        if action not in ("add", "a", "append", "prepend", "replace", "change", "del", "delete"):
            return
        route = _iproute2_route(rest, self._family, place)
        same = [
            held
            for held in self.routes
            if (held.destination, held.table, held.metric)
            == (route.destination, route.table, route.metric)
        ]
        if action in ("del", "delete"):
            self._delete(route, "dev" in rest or "via" in rest)
        elif action in ("replace", "change") and same:
            self.routes[self.routes.index(same[0])] = route
        elif action == "prepend":
            self._before(route)
        elif same and action in ("add", "a"):
            raise ValueError("there is a route to this destination already: it was refused")
        else:
            self.routes.append(route)

    def _flush(self, words: list[str]) -> None:
        """``ip route flush``, which without -6 means IPv4 (iproute2, ip/iproute.c)."""
        options = {words[i]: words[i + 1] for i in range(len(words) - 1)}
        table, device = options.get("table", "main"), options.get("dev")
        target, family = None, self._family
        if words and words[0] not in ("table", "dev", "cache", "all", "proto", "scope"):
            target = _destination(words[0], 6 if ":" in words[0] else family)
            family = target.family
        if words[:1] == ["cache"]:
            return
        self.routes = [
            route
            for route in self.routes
            if route.table != table
            or route.destination.family != family
            or (device is not None and route.device != device)
            or (target is not None and route.destination != target)
        ]

    def _ip_rule(self, words: list[str], place: Span) -> None:
        action, rest = words[0], words[1:]
        adding = "add".startswith(action)
        if not adding and not "delete".startswith(action):
            return
        priority = 32765 - len(self.rules)
        for name in ("priority", "preference", "pref", "prio", "order"):
            if name in rest:
                place_of = rest.index(name)
                priority = int(rest[place_of + 1])
                del rest[place_of : place_of + 2]
        rule = rule_of_words(priority, rest, place)
        if adding:
            self.rules.append(rule)
            return
        self.rules = [
            held
            for held in self.rules
            if held._replace(span=place, priority=0) != rule._replace(priority=0)
        ]


_IP_OPTIONS: Final = frozenset({"-4", "-6", "-f", "inet", "inet6", "-family", "-o", "-s", "-force"})


def _mask(family: int, text: str) -> int:
    if family == 4 and "." in text:
        return parse_subnet(f"0.0.0.0/{text}").mask
    length = int(text)
    if not 0 <= length <= WIDTH[family]:
        raise ValueError(f"{text!r} is not a prefix length")
    return MASK_OF_LENGTH[family][length]


def _net_tools_route(words: list[str], family: int, place: Span) -> Route:
    options = {words[i]: words[i + 1] for i in range(len(words) - 1)}
    kind = words[0]
    text = words[1] if kind in ("-net", "-host") else kind
    if "netmask" in options and "/" not in text:
        text = f"{text}/{options['netmask']}"
    elif kind == "-net" and "/" not in text and text != "default":
        text = f"{text}/{_class_length(text)}"
    gateway = options.get("gw")
    device = options.get("dev", "")
    if not device and not gateway and "reject" not in words:
        device = words[-1] if words[-1] not in (text, words[0], options.get("netmask")) else ""
    return Route(
        _destination(text, family),
        device,
        place,
        parse_klips_address(gateway) if gateway else None,
        metric=int(options.get("metric", "0")),
        kind="unreachable" if "reject" in words else "unicast",
    )


def _class_length(text: str) -> int:
    """The prefix length of an address class: what ``route add -net`` took without a netmask."""
    first = int(text.partition(".")[0])
    return 8 if first < 128 else 16 if first < 192 else 24


def _iproute2_route(words: list[str], family: int, place: Span) -> Route:
    """A route; ``family`` is that of a ``default`` without a gateway."""
    kind = "unicast"
    if words and words[0] in KINDS:
        kind, words = words[0], words[1:]
    if words[0] == "to":
        words = words[1:]
    options = {words[i]: words[i + 1] for i in range(1, len(words) - 1) if words[i] in _VALUED}
    gateway = parse_klips_address(options["via"]) if "via" in options else None
    if ":" in words[0] or (gateway and gateway[0] == 6):
        family = 6
    table = options.get("table", "main")
    return Route(
        _destination(words[0], family),
        "" if kind in DEVICELESS else options.get("dev", ""),
        place,
        gateway,
        metric=int(options.get("metric", "0")),
        table="main" if table in _MAIN else table,
        kind=kind,
    )


def _destination(text: str, family: int) -> Prefix:
    if text == "default":
        return Prefix(family, 0, 0)
    if "/" in text:
        return parse_subnet(text, family).network
    found, number = parse_klips_address(text)
    return Prefix(found, number, ALL_ONES[found])
