"""What we print as commands of ``ip`` is read back, and nothing that is read raises."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from eroute_translate.klips.shell import read_shell
from eroute_translate.xfrm.command_text import looks_like_commands, looks_like_policies
from eroute_translate.xfrm.commands import read_batch, read_commands
from eroute_translate.xfrm.model import Policy
from eroute_translate.xfrm.text import key_arguments, policy_arguments

from .test_xfrm_text import policies

VOCABULARY = """
    ip xfrm policy add update delete flush deleteall setdefault state -batch - -4 -n
    src dst dir out in proto tcp sport dport type key mark mask if_id index ptype sub
    action block priority flag limit tmpl level use mode tunnel reqid spi esp dev lo
    10.0.0.0/8 ::/0 10/8 any 0 7 0x10 -1 08 $X ${Y:-1} $(z) # ' " \\ ; | && || ( ) { }
    if then fi for do done while else << E
"""
WORDS = (*VOCABULARY.split(), "\n", "\n", "\n")


def acceptable(policy: Policy) -> Policy | None:
    """The policy with the templates that the kernel takes (xfrm_user.c:validate_tmpl)."""
    family, kept = policy.selector.family, []
    for template in policy.templates:
        if template.mode not in ("tunnel", "beet") and template.family != family:
            return None
        if template.mode in ("tunnel", "beet") and template.optional and policy.direction == "out":
            template = template._replace(optional=False)
        family = template.family
        kept.append(template)
    return policy._replace(templates=tuple(kept))


@given(st.lists(policies(), max_size=8), st.booleans())
@settings(max_examples=150, deadline=None)
def test_printed_commands_are_read_back(drawn: list[Policy], shell: bool) -> None:
    wanted: dict[object, Policy] = {}
    lines = []
    for policy in drawn:
        accepted = acceptable(policy)
        if accepted is not None:
            wanted.pop(accepted.key, None)
            wanted[accepted.key] = accepted
            lines.append(f"xfrm policy update {policy_arguments(accepted)}\n")
    if shell:
        reading = read_commands(read_shell("".join("ip " + line for line in lines), "s").commands)
    else:
        reading = read_batch("".join(lines))
    assert not [d for d in reading.diagnostics if d.code != "ET348"]
    assert reading.policies == tuple(wanted.values())
    deletes = [
        f"xfrm policy delete {key_arguments(policy)}\n"
        for policy in wanted.values()
        if not policy.mark[1] or policy.mark[0] & policy.mark[1]
    ]
    left = read_batch("".join(lines + deletes))
    assert len(left.policies) == len(wanted) - len(deletes)


@given(st.lists(st.sampled_from(WORDS), max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_stands_there_is_read_without_raising(words: list[str]) -> None:
    text = " ".join(words)
    for reading in (read_batch(text), read_commands(read_shell(text, "s").commands)):
        assert all(item.span is None or item.span.line > 0 for item in reading.diagnostics)
    looks_like_commands(text)
    looks_like_policies(text)


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_arbitrary_text_is_read_without_raising(text: str) -> None:
    read_batch(text)
    read_batch("xfrm policy add " + text)
    read_commands(read_shell("ip xfrm policy add " + text, "s").commands)
    assert not (looks_like_policies(text) and looks_like_commands(text))
