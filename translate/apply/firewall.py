"""The firewall rules beside the policies: one nftables table of our own, loaded as a whole.

nft(8) makes a transaction of its own of each file, so that the table is either the old or the new
one.  The text of the old one is kept in the record of our transaction.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Final

TABLE: Final = "inet eroute_translate"
EMPTY: Final = f"table {TABLE}\ndelete table {TABLE}\n"
"""Removes the table whether it is there or not."""

NFT_IS_MISSING: Final = (
    "nft is missing, and the ICMP answers of %reject need it: install nftables, or say"
    " --no-reject-rule"
)

TIMEOUT: Final = 60.0


_COMMENT: Final = re.compile(r' comment "[^"]*"')


def same_rules(one: str, other: str) -> bool:
    """Whether two texts of ours do the same; comments only name a file, and it may have moved."""
    return _COMMENT.sub("", one) == _COMMENT.sub("", other)


class FirewallError(Exception):
    """nft is missing, did not end, or refused the rules; the text says which."""


class MissingNftError(FirewallError):
    """There is no program nft."""


class Firewall:
    """Our table in one network namespace."""

    def __init__(self, netns: str | None) -> None:
        self._netns = netns

    @property
    def available(self) -> bool:
        """Whether there is a program that can load a table."""
        return shutil.which("nft") is not None

    def read(self) -> str:
        """The text of the table as it is, empty when it is not there.

        Raises :class:`FirewallError` when nft does not tell: what is not known is not empty.
        """
        try:
            done = self._nft("list", "table", *TABLE.split())
        except MissingNftError:
            return ""  # without nft nobody can have loaded our table
        return done.stdout if done.returncode == 0 else ""

    def load(self, text: str) -> None:
        """Put a table in the place of ours; empty text removes it.

        Raises :class:`FirewallError`.
        """
        if not text and not self.read():
            return
        done = self._nft("-f", "-", text=EMPTY + text)
        if done.returncode != 0:
            raise FirewallError(f"nft refused the rules: {done.stderr.strip()}")

    def _nft(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603 - fixed words, no shell
                ["nft", *arguments],  # noqa: S607 - found by PATH, as everywhere
                input=text,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
                preexec_fn=self._entering(),
            )
        except FileNotFoundError:
            raise MissingNftError(NFT_IS_MISSING) from None
        except (OSError, subprocess.SubprocessError) as error:
            raise FirewallError(f"nft: {error}") from None

    def _entering(self) -> Callable[[], None] | None:
        """What the child does first: enter the namespace."""
        if self._netns is None:
            return None
        from ..xfrm.connection import enter_namespace

        netns = self._netns
        return lambda: enter_namespace(netns)
