"""The grammar of ``ip xfrm policy``: words to values, as ip takes them or refuses them.

After iproute2, ip/xfrm_policy.c and ip/ipxfrm.c (xfrm_policy_modify, xfrm_tmpl_parse,
xfrm_id_parse).  The words of a selector stand together (:mod:`.command_selector`), those of a
template's ID too; sub-commands and modes may be cut short, other keywords not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..net import Prefix, Selector
from .command_selector import read_selector
from .ip_arguments import Arguments, IpRefusesError, unsigned
from .model import TEMPLATE_PROTOCOLS, Policy, Template
from .text import LIMITS, MODES, TEMPLATE_NAMES

_U8, _U16, _U32, _U64 = 0xFF, 0xFFFF, 0xFFFFFFFF, (1 << 64) - 1

_VERBS: Final = (
    ("add", "add"),
    ("update", "update"),
    ("delete", "delete"),
    ("deleteall", "deleteall"),
    ("delall", "deleteall"),
    ("list", "list"),
    ("show", "list"),
    ("lst", "list"),
    ("get", "get"),
    ("flush", "flush"),
    ("count", "count"),
    ("set", "set"),
    ("setdefault", "setdefault"),
    ("getdefault", "getdefault"),
    ("help", "help"),
)
"""Sub-commands in the order in which ip tries them (do_xfrm_policy)."""

_PROTOCOL_OF_NAME: Final = {name: number for number, name in TEMPLATE_NAMES.items()}


def verb_of(word: str) -> str | None:
    """The sub-command that a word is short for, the first one that fits."""
    return next((verb for name, verb in _VERBS if word and name.startswith(word)), None)


@dataclass(slots=True)
class PolicyWords:
    """What the words of one command say; ``selector`` is ``None`` when there is none."""

    direction: str = ""
    selector: Selector | None = None
    port_masks: tuple[int, int] | None = None
    ifindex: int = 0
    mark: tuple[int, int] = (0, 0)
    if_id: int = 0
    index: int | None = None
    ptype: str = ""
    action: str = ""
    priority: int | None = None
    flags: int | None = None
    templates: list[Template] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)
    unmodelled: str = ""
    """A word that says what no field has room for."""

    def policy(self, family: int) -> Policy:
        """The policy to add."""
        anywhere = Prefix(family, 0, 0)
        selector = self.selector or Selector(anywhere, anywhere)
        templates = [t if t.family else t._replace(family=selector.family) for t in self.templates]
        return Policy(
            self.direction,
            selector,
            self.priority or 0,
            self.action or "allow",
            tuple(templates),
            self.mark,
            self.if_id,
            self.port_masks,
            self.ifindex,
            ptype=self.ptype or "main",
        )


def parse_policy(arguments: Arguments, words: Mapping[str, _Reader] | None = None) -> PolicyWords:
    """Read the arguments of ``add`` and ``update``.  Raises :class:`IpRefusesError`."""
    draft = PolicyWords()
    selected = False
    readers = _POLICY if words is None else words
    while arguments.peek() is not None:
        reader = readers.get(arguments.take())
        if reader is not None:
            reader(draft, arguments)
            continue
        arguments.at -= 1
        if selected:
            word = arguments.take()
            raise arguments.wrong(f"{word!r} is unknown, or the selector is in two pieces")
        selected = True
        draft.selector, draft.port_masks, draft.ifindex = read_selector(arguments)
    return draft


def parse_key(arguments: Arguments) -> PolicyWords:
    """Read the arguments of ``delete`` and ``get``: a selector or an index, and what is with it."""
    draft = parse_policy(arguments, _KEY)
    if not draft.direction:
        raise IpRefusesError(len(arguments.words), "it names no direction")
    if (draft.selector is None) == (draft.index is None):
        raise IpRefusesError(len(arguments.words), "it needs either a selector or an index")
    value, mask = draft.mark
    if not value & mask:
        draft.mark = (0, 0)  # ip leaves such a mark out (xfrm_policy_get_or_delete)
    return draft


def parse_filter(arguments: Arguments) -> PolicyWords:
    """Read the arguments of ``deleteall``."""
    return parse_policy(arguments, _FILTER)


def _direction(draft: PolicyWords, arguments: Arguments) -> None:
    if draft.direction:
        raise arguments.wrong("dir stands twice")
    draft.direction = arguments.one_of("direction", "in", "out", "fwd")


def _mark(draft: PolicyWords, arguments: Arguments) -> None:
    value, mask = arguments.number(_U32, "mark"), _U32
    if arguments.peek() == "mask":
        arguments.take()
        mask = arguments.number(_U32, "mask")
    draft.mark = (value & mask, mask)  # as the kernel stores it (xfrm_policy_insert)


def _if_id(draft: PolicyWords, arguments: Arguments) -> None:
    draft.if_id = arguments.number(_U32, "if_id")


def _index(draft: PolicyWords, arguments: Arguments) -> None:
    draft.index = arguments.number(_U32, "index")


def _ptype(draft: PolicyWords, arguments: Arguments) -> None:
    if draft.ptype:
        raise arguments.wrong("ptype stands twice")
    draft.ptype = arguments.one_of("ptype", "main", "sub")


def _action(draft: PolicyWords, arguments: Arguments) -> None:
    draft.action = arguments.one_of("action", "allow", "block")


def _priority(draft: PolicyWords, arguments: Arguments) -> None:
    draft.priority = arguments.number(_U32, "priority")


def _flag(draft: PolicyWords, arguments: Arguments) -> None:
    """Names or 0xNN; the lookups of the kernel use none of them for ordinary packets."""
    draft.flags = draft.flags or 0
    if (arguments.peek() or "").startswith("0x"):
        draft.flags = arguments.number(_U8, "flag")
        return
    while arguments.peek() in ("localok", "icmp"):
        draft.flags |= 1 if arguments.take() == "localok" else 2


def _limit(draft: PolicyWords, arguments: Arguments) -> None:
    name = arguments.one_of("limit", *LIMITS)
    word = arguments.peek() or ""
    if word.startswith("-") and unsigned(word[1:]) is not None:
        arguments.take()  # strtoull(3) takes -1 for the largest number: no limit
        return
    draft.limits[name] = arguments.number(_U64, name)


def _context(draft: PolicyWords, arguments: Arguments) -> None:
    arguments.take()
    draft.unmodelled = "ctx"


def _offload(draft: PolicyWords, arguments: Arguments) -> None:
    arguments.one_of("offload", "packet")
    arguments.one_of("word", "dev")
    arguments.take()
    draft.unmodelled = "offload"


def _nothing(_draft: PolicyWords, _arguments: Arguments) -> None:
    """A word without a value that changes nothing here."""


def _template(draft: PolicyWords, arguments: Arguments) -> None:
    """``tmpl ID [mode M] [reqid N] [level L]``; the ID stands together, anywhere among them."""
    start, named = arguments.at, False
    values = {"reqid": 0, "optional": 0, "protocol": 0, "spi": 0, "source": 0, "destination": 0}
    family, mode = arguments.family, MODES[0]
    while (word := arguments.peek()) is not None:
        if word == "mode":
            arguments.take()
            mode = _mode(arguments)
        elif word == "reqid":
            arguments.take()
            values["reqid"] = arguments.number(_U32, "reqid")
        elif word == "level":
            arguments.take()
            values["optional"] = arguments.one_of("level", "required", "use") == "use"
        elif not named and word in ("src", "dst", "proto", "spi"):
            named = True
            family = arguments.family = _identity(values, arguments) or family
        else:
            break
    if arguments.at == start:
        raise IpRefusesError(arguments.at, "the template is empty")
    draft.templates.append(
        Template(
            values["protocol"],
            mode,
            family,
            values["source"],
            values["destination"],
            values["reqid"],
            values["spi"],
            bool(values["optional"]),
        )
    )


def _identity(values: dict[str, int], arguments: Arguments) -> int:
    """Read the ID of a template; the family of its addresses, 0 if it has none."""
    families: dict[str, int] = {}
    # Its addresses may be of another family than the selector's.
    held, arguments.family = arguments.family, 0
    while (word := arguments.peek()) in ("src", "dst", "proto", "spi"):
        arguments.take()
        if word == "proto":
            values["protocol"] = _PROTOCOL_OF_NAME[arguments.one_of(word, *_PROTOCOL_OF_NAME)]
        elif word == "spi":
            values["spi"] = arguments.number(_U32, "spi")
        else:
            prefix = arguments.prefix(word or "")
            families[word or ""] = prefix.family
            values["source" if word == "src" else "destination"] = prefix.address
    arguments.family = held
    if len(set(families.values())) > 1:
        raise arguments.wrong("the ends of the template are of two address families")
    protocol = values["protocol"]
    if not protocol:
        raise IpRefusesError(arguments.at, "the template has no proto")
    if values["spi"] and protocol not in TEMPLATE_PROTOCOLS:
        raise arguments.wrong(f"spi cannot stand with {TEMPLATE_NAMES[protocol]}")
    if TEMPLATE_NAMES[protocol] == "comp" and values["spi"] > _U16:
        raise arguments.wrong("the SPI is too large for comp")
    return max(families.values(), default=0)


def _mode(arguments: Arguments) -> str:
    word = arguments.take()
    for mode in ("transport", "tunnel", "ro", "in_trigger", "beet", "iptfs"):
        if word and mode.startswith(word):
            return mode
    raise arguments.wrong(f"{word!r} is no mode")


_Reader = Callable[[PolicyWords, Arguments], None]

_KEY: Final[dict[str, _Reader]] = {
    "dir": _direction,
    "ctx": _context,
    "mark": _mark,
    "index": _index,
    "ptype": _ptype,
    "if_id": _if_id,
}
_POLICY: Final[dict[str, _Reader]] = _KEY | {
    "action": _action,
    "priority": _priority,
    "flag": _flag,
    "limit": _limit,
    "tmpl": _template,
    "offload": _offload,
}
_FILTER: Final[dict[str, _Reader]] = {
    "dir": _direction,
    "index": _index,
    "ptype": _ptype,
    "action": _action,
    "priority": _priority,
    "flag": _flag,
    "nosock": _nothing,
}
