"""The grammar of ``ipsec spi`` (ipsec_spi(8), programs/spi/spi.c)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..diagnostics import Collector, Diagnostic, Severity, Span
from ..secret import Secret
from .address import FAMILIES, parse_klips_address
from .algorithm_names import parse_algorithms
from .association import (
    NO_LIMITS,
    Address,
    Association,
    Encapsulation,
    Lifetime,
    Lifetimes,
)
from .key import parse_key
from .said import SA_AH, SA_COMP, SA_ESP, SA_IPIP, SA_PROTOCOLS, SPI_FIRST, Said, parse_said
from .tool_options import (
    Given,
    Grammar,
    RefusedError,
    choice,
    number,
    only_informs,
    read_options,
    tell,
)
from .words import Word

ACTIONS: Final = ("ah", "esp", "comp", "ip4", "ip6", "del", "clear")

GRAMMAR: Final = Grammar(
    "spi",
    ("ip4", "ip6", "del", "clear", "debug", "help", "version", "dumpsaref", "listenreply"),
    (
        "ah",
        "esp",
        "comp",
        "said",
        "af",
        "edst",
        "spi",
        "proto",
        "authkey",
        "enckey",
        "iv",
        "src",
        "dst",
        "replay_window",
        "life",
        "natt",
        "sport",
        "dport",
        "saref",
        "sarefme",
        "saref_me",
        "sarefhim",
        "saref_him",
        "outif",
        "label",
        "optionsfrom",
    ),
    secret=("authkey", "enckey", "iv"),
)

_PROTOCOL_OF: Final = {"ah": SA_AH, "esp": SA_ESP, "comp": SA_COMP, "ip4": SA_IPIP, "ip6": SA_IPIP}
_LIVES: Final = ("allocations", "bytes", "addtime", "usetime", "packets")
_NATT: Final = {"none": 0, "nonike": 1, "nonesp": 2}


@dataclass(frozen=True, slots=True)
class SpiCommand:
    """One command: ``add`` with an association, ``del`` with a SAID, ``clear``, or ``list``."""

    action: str
    span: Span
    said: Said | None = None
    association: Association | None = None


def parse_spi_command(
    words: Sequence[Word], collector: Collector, place: Span
) -> SpiCommand | None:
    """Read the words after ``ipsec spi``.

    Every problem goes to the collector, keys left out; ``None`` when one of them is an error.
    """
    try:
        given = read_options(GRAMMAR, words)
        command = _command(given, place)
    except RefusedError as error:
        tell(collector, GRAMMAR, words, error, place)
        return None
    if command.association is not None and ("sport" in given.options or "dport" in given.options):
        _tell_ports(given, collector, place)
    for word in given.repeated:
        again = RefusedError("the option stands twice; the last one counts", word, code="ET152")
        tell(collector, GRAMMAR, words, again, place, Severity.WARNING)
    return command


def _command(given: Given, place: Span) -> SpiCommand:
    if "optionsfrom" in given.options:
        word = given.options["optionsfrom"]
        raise RefusedError("options in another file are not read: write them out here", word)
    if given.rest:
        raise RefusedError("ipsec spi takes options alone", given.rest[0])
    if only_informs(given):
        return SpiCommand("list", place)
    actions = [name for name in ACTIONS if name in given.options]
    if len(actions) > 1:
        raise RefusedError(
            f"--{actions[0]} and --{actions[1]} are two actions", given.options[actions[1]]
        )
    if not actions:
        if given.options.keys() - {"debug", "label", "dumpsaref", "listenreply"}:
            raise RefusedError("no action is given", None, "--ah, --esp, --comp, --ip4, --del, …")
        return SpiCommand("list", place)
    action = actions[0]
    if action == "clear":
        return SpiCommand("clear", place)
    said = _said(given, action)
    if action == "del":
        return SpiCommand("del", place, said)
    return SpiCommand("add", place, said, _association(given, action, said, place))


def _said(given: Given, action: str) -> Said:
    word = given.options.get("said")
    parts = [name for name in ("af", "edst", "spi", "proto") if name in given.options]
    if word is not None:
        if parts:
            raise RefusedError(f"--said and --{parts[0]} exclude each other", word)
        try:
            said = parse_said(word.text)
        except ValueError as error:
            raise RefusedError(str(error), word, "tun0x1002@203.0.113.7") from None
    else:
        said = _from_parts(given, parts)
    wanted = _PROTOCOL_OF.get(action)
    if wanted is not None and said.protocol != wanted:
        raise RefusedError(f"the SAID is no {action} SA", word or given.options["proto"])
    if said.spi < SPI_FIRST:
        raise RefusedError(
            f"the SPI {said.spi:#x} is below 0x100, which the tools refuse",
            word or given.options["spi"],
        )
    return said


def _from_parts(given: Given, parts: Sequence[str]) -> Said:
    missing = [name for name in ("af", "edst", "spi", "proto") if name not in parts]
    if missing:
        raise RefusedError(
            f"--{missing[0]} is missing", None, "--said SAID, or all of --af --edst --spi --proto"
        )
    options = given.options
    family = FAMILIES[choice(options["af"], FAMILIES, "address family")]
    protocol = SA_PROTOCOLS[choice(options["proto"], SA_PROTOCOLS, "protocol of an SA")]
    _, destination = _address(options["edst"], family)
    return Said(protocol, number(options["spi"], 0, 0xFFFFFFFF), family, destination)


def _address(word: Word, family: int) -> Address:
    try:
        return parse_klips_address(word.text, family)
    except ValueError as error:
        raise RefusedError(str(error), word, "an address; names are not looked up") from None


def _association(given: Given, action: str, said: Said, place: Span) -> Association:
    options = given.options
    source = _address(options["src"], said.family) if "src" in options else None
    encryption = authentication = compression = ""
    bits = 0
    if action in ("esp", "ah"):
        try:
            algorithms = parse_algorithms(options[action].text, action)
        except ValueError as error:
            raise RefusedError(str(error), options[action]) from None
        encryption, authentication, bits = algorithms
    elif action == "comp":
        compression = choice(options["comp"], ("deflate", "lzs"), "compression")
    if action in ("ip4", "ip6"):
        if "dst" not in options or source is None:
            raise RefusedError(f"--{action} needs --src and --dst", options[action])
        _address(options["dst"], said.family)
    enckey = _key(given, "enckey", needed=encryption not in ("", "null"))
    authkey = _key(given, "authkey", needed=bool(authentication))
    if bits and enckey is not None and enckey.bits != bits:
        raise RefusedError(f"the key has {enckey.bits} bits, not {bits}", options["esp"])
    window = number(options["replay_window"], 0, 64) if "replay_window" in options else 0
    return Association(
        said,
        place,
        None,
        source,
        encryption,
        authentication,
        compression,
        0 if enckey is None else enckey.bits,
        0 if authkey is None else authkey.bits,
        window,
        lifetimes=_lifetimes(given),
        encapsulation=_encapsulation(given),
        encryption_key=Secret(b"") if encryption == "null" else enckey,
        authentication_key=authkey,
        reference=number(options["saref"], 0, 0xFFFFFFFF) if "saref" in options else 0,
    )


def _key(given: Given, name: str, *, needed: bool) -> Secret | None:
    word = given.options.get(name)
    if word is None:
        if needed:
            raise RefusedError(f"--{name} is missing")
        return None
    try:
        return parse_key(word.text) if needed else None
    except ValueError as error:
        raise RefusedError(f"the key of --{name} cannot be read: {error}", word) from None


def _lifetimes(given: Given) -> Lifetimes:
    """``soft-bytes=1000,hard-addtime=3600``, joined by commas or blanks."""
    word = given.options.get("life")
    if word is None:
        return NO_LIMITS
    found = {name: Lifetime() for name in _LIVES}
    for item in word.text.replace(",", " ").split():
        name, equals, text = item.partition("=")
        limit, dash, kind = name.partition("-")
        if not equals or not dash or limit not in ("soft", "hard") or kind not in found:
            raise RefusedError(
                f"{item!r} is no limit of a life", word, "soft-KIND=NUMBER or hard-KIND=NUMBER"
            )
        value = number(Word(text, word.span), 0, 0xFFFFFFFF)
        found[kind] = found[kind]._replace(**{limit: value})
    return Lifetimes(*(found[name] for name in _LIVES))


def _encapsulation(given: Given) -> Encapsulation | None:
    word = given.options.get("natt")
    if word is None:
        return None
    kinds = {str(value): name for name, value in _NATT.items()}
    kind = word.text if word.text in _NATT else kinds.get(word.text, "")
    if not kind:
        raise RefusedError(f"{word.text!r} is no NAT traversal", word, ", ".join(_NATT))
    if kind == "none":
        return None
    # The option table of every version maps --dport to the source port, and --sport to the other.
    ports = [
        number(given.options[name], 0, 0xFFFF) if name in given.options else 0
        for name in ("dport", "sport")
    ]
    return Encapsulation(kind, *ports)


def _tell_ports(given: Given, collector: Collector, place: Span) -> None:
    word = given.options.get("sport") or given.options["dport"]
    collector.add(
        Diagnostic(
            "ET153",
            Severity.NOTE,
            "--sport and --dport are swapped in every version of the tool; the ports are carried as"
            " the kernel got them",
            word.span if word.span.file else place,
        )
    )
