"""The shunts: %pass %drop %reject %hold %trap %trapsubnet %passthrough, and unknown SAIDs.

Each rule stands beside the treatment it gives.  What KLIPS did is from ipsec_xmit.c and
ipsec_tunnel.c; what XFRM does from net/xfrm/xfrm_policy.c.
"""

from __future__ import annotations

from typing import Final

from ..klips.said import (
    SPI_DROP,
    SPI_HOLD,
    SPI_PASS,
    SPI_REJECT,
    SPI_TRAP,
    SPI_TRAPSUBNET,
)
from ..net import IPPROTO_ESP
from .model import (
    ALLOW,
    BLOCK,
    TRANSPORT_MODE,
    Inbound,
    Kind,
    Rule,
    Step,
    Treatment,
    Weight,
)

PASS: Final = Rule(
    name="pass",
    eroute="%pass",
    klips="Sends the packet in clear out of the physical interface.",
    xfrm="out, in and fwd policies that allow, without templates (with --inbound klips: out only).",
    difference="With --inbound strict, a packet that comes in protected although this eroute says"
    " clear is dropped; KLIPS accepted it.",
    reason="in and fwd are needed as holes in wider eroutes that ask for protection.",
    tested="tests/netns/test_script.py, tests/unit/test_mapping.py",
)

DROP: Final = Rule(
    name="drop",
    eroute="%drop",
    klips="Drops the packet without a word. Packets coming in were never looked up.",
    xfrm="An out policy that blocks; forwarded packets are looked up there too.",
    difference="A local sender gets EPERM from connect(2) or sendto(2) instead of silence.",
    reason="in or fwd policies would drop packets that KLIPS accepted.",
    tested="tests/netns/test_script.py, tests/unit/test_mapping.py",
)

REJECT: Final = Rule(
    name="reject",
    eroute="%reject",
    klips="Drops the packet and answers with ICMP type 3 code 13; for IPv6 with an ICMPv6 type 3"
    " code 13, by a slip.",
    xfrm="An out policy that blocks, and an nftables rule before routing that answers forwarded"
    " packets with ICMP admin-prohibited (type 3 code 13; ICMPv6 type 1 code 1).",
    difference="A local sender gets EPERM instead of the ICMP error; the ICMPv6 answer is the one"
    " that was meant.",
    reason="XFRM blocks without an answer, and before the firewall's forward hook, so that the"
    " rule has to stand before routing. The policy stays: without the firewall it still blocks.",
    tested="tests/netns/test_reject.py, tests/unit/test_mapping.py",
)

TRAP: Final = Rule(
    name="trap",
    eroute="%trap",
    klips="Asks the key daemon (ACQUIRE), holds the packet; without a daemon drops it.",
    xfrm="An out policy that allows with a template that no SA fits: the kernel asks the key"
    " daemon (ACQUIRE) and drops the packet; without a daemon drops it.",
    difference="The first packet is not kept and sent again (net.core.xfrm_larval_drop=0 keeps"
    " it); a question is repeated after net.core.xfrm_acq_expires seconds.",
    reason="It is what XFRM does by itself. The policies that the daemon installs have lower"
    " numbers than ours, and so win.",
    tested="tests/netns/test_acquire.py, tests/unit/test_mapping.py",
)

TRAPSUBNET: Final = Rule(
    name="trapsubnet",
    eroute="%trapsubnet",
    klips="Like %trap, but the eroute itself turns into %hold, for all its hosts at once.",
    xfrm="Like %trap: one question for each flow.",
    difference="A question for each flow instead of one for the subnet.",
    reason="XFRM keeps a larval state for each flow; a shared one cannot be expressed.",
    tested="tests/unit/test_mapping.py",
)

HOLD: Final = Rule(
    name="hold",
    eroute="%hold",
    klips="Keeps the last packet until the key daemon replaces the eroute; made by the kernel"
    " itself when a %trap was hit.",
    xfrm="Like %trap: the question is asked again, and packets are dropped meanwhile.",
    difference="The daemon is asked again; no packet is kept.",
    reason="A %hold is a %trap that waits for its answer; in XFRM that is a larval state in the"
    " SAD, which the kernel makes by itself. Installing nothing could let the packet pass.",
    tested="tests/netns/test_acquire.py, tests/unit/test_mapping.py",
)

PASSTHROUGH: Final = Rule(
    name="passthrough",
    eroute="%passthrough, %passthrough4, %passthrough6",
    klips="The manual page says: passes. The kernel looked for an SA with SPI 0, found none and"
    " dropped the packet; the tools refused to install it.",
    xfrm="Like %pass.",
    difference="Traffic passes that the kernel's code would have dropped.",
    reason="The manual page is what the administrator meant; a table that holds this SAID comes"
    " from a kernel or a time where it worked.",
    tested="tests/golden, tests/unit/test_mapping.py",
)

UNKNOWN: Final = Rule(
    name="unknown",
    eroute="%unk-N, unkN…, (error)",
    klips="Swallowed the packet: no code handles such a shunt, and no SA is found.",
    xfrm="An out policy that blocks.",
    difference="None in effect.",
    reason="Nothing was sent, so nothing may be sent.",
    tested="tests/unit/test_mapping.py",
)

UNREADABLE: Final = Rule(
    name="unreadable",
    eroute="a row whose selector can be read, but not its SAID",
    klips="Not known.",
    xfrm="Refused: the script stops. With --allow-partial an out policy that blocks.",
    difference="The traffic is blocked.",
    reason="A guess could send in clear what was protected.",
    tested="tests/unit/test_mapping.py",
)

RULES: Final = (
    PASS,
    DROP,
    REJECT,
    TRAP,
    TRAPSUBNET,
    HOLD,
    PASSTHROUGH,
    UNKNOWN,
    UNREADABLE,
)


TRAP_STEP: Final = Step(IPPROTO_ESP, TRANSPORT_MODE, optional=False)
"""A template that no SA fits: ESP in transport mode, with a reqid of its own (ip-xfrm(8))."""


def shunt_treatments(inbound: Inbound, *, reject_rule: bool) -> dict[object, Treatment]:
    """The treatment of every shunt, by SPI or by name; made once for a whole table."""
    noted, exact = Kind.NOTED.value, Kind.EXACT.value
    holes = inbound is Inbound.STRICT
    passing = Treatment(exact, PASS.name, ALLOW, (), holes, True, Weight.PASS, ())
    blocking = Treatment(exact, DROP.name, BLOCK, (), False, False, Weight.BLOCK, ())
    asking = Treatment(noted, TRAP.name, ALLOW, (TRAP_STEP,), False, False, Weight.ASK, ("ET203",))
    return {
        SPI_PASS: passing,
        "passthrough": passing._replace(kind=noted, rule=PASSTHROUGH.name, codes=("ET205",)),
        SPI_DROP: blocking,
        SPI_REJECT: blocking._replace(
            kind=noted if reject_rule else Kind.APPROXIMATED.value,
            rule=REJECT.name,
            codes=("ET204",),
        ),
        "unknown": blocking._replace(kind=noted, rule=UNKNOWN.name, codes=("ET206",)),
        "unreadable": blocking._replace(
            kind=Kind.REFUSED.value, rule=UNREADABLE.name, codes=("ET222",)
        ),
        SPI_TRAP: asking,
        SPI_TRAPSUBNET: asking._replace(rule=TRAPSUBNET.name),
        SPI_HOLD: asking._replace(rule=HOLD.name),
    }
