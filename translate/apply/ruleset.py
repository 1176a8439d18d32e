"""The policies of a translation as the kernel is to have them."""

from __future__ import annotations

from ..mapping.translation import Translation
from ..xfrm.model import Policy, PolicyKey


def wanted_policies(translation: Translation) -> list[Policy]:
    """All policies of a translation; each key stands once."""
    return list(translation.policies())


def origins(translation: Translation) -> dict[PolicyKey, str]:
    """Where each policy comes from: file and line of its eroute, or the option that made it."""
    found: dict[PolicyKey, str] = {policy.key: "an option" for policy in translation.extra}
    for outcome in translation.outcomes:
        place = str(outcome.eroute.span)
        for policy in outcome.policies:
            found[policy.key] = place
    return found
