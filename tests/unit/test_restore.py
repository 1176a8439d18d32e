"""What a boot installs, and what it blocks when it cannot, against a kernel in memory."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

import pytest

from eroute_translate.apply.journal import Journal, Phase, Record, Saved
from eroute_translate.apply.restore import restore, restore_damaged
from eroute_translate.apply.stored import JournalError
from eroute_translate.net import Selector, parse_prefix
from eroute_translate.xfrm.model import Policy, Template
from eroute_translate.xfrm.outcome import BulkError, Failure, Report
from tests.fake_kernel import FakeFirewall, FakeKernel

ESP = (Template(50, "tunnel", 4, 1, 2, reqid=7),)


def policy(source: str, destination: str = "192.168.0.0/16", **more: object) -> Policy:
    selector = Selector(parse_prefix(source), parse_prefix(destination))
    return Policy("out", selector, 10, "allow", ESP)._replace(**more)  # type: ignore[arg-type]


SAVED = Saved([policy(f"10.{n}.0.0/16") for n in range(9)], (), "rules")
SIX = policy("2001:db8::/32", "2001:db8:1::/48")


class WithoutIpv6(FakeKernel):
    """A kernel that knows no policies of IPv6, and carries out the rest of a run with one."""

    def install(self, policies: Sequence[Policy], *, seconds: int = 0) -> None:
        super().install([p for p in policies if p.selector.family == 4], seconds=seconds)
        wrong = [n for n, p in enumerate(policies) if p.selector.family == 6]
        if wrong:
            report = Report(
                len(policies),
                wrong[0] + 1,
                wrong[0] + 1,
                (Failure(wrong[0], errno.EAFNOSUPPORT),),
            )
            for policy in policies[wrong[0] + 1 :]:  # never sent
                self.policies.pop(policy.key, None)
            raise BulkError(errno.EAFNOSUPPORT, "install", report, "", "")

    def exchange(
        self,
        changes: Sequence[tuple[Policy | None, Policy | None]],
        *,
        by_index: bool = False,
    ) -> None:
        if any(new is not None and new.selector.family == 6 for _, new in changes):
            raise BulkError(errno.EAFNOSUPPORT, "add", Report(1, 0, 1), "", "")
        super().exchange(changes, by_index=by_index)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "host", "this boot")
    made.prepare()
    return made


def blocks(kernel: FakeKernel) -> set[str]:
    found = [p for p in kernel.policies.values() if p.action == "block" and not p.templates]
    return {str(p.selector.source) for p in found}


def test_one_that_the_kernel_refuses_leaves_none_behind_it_in_clear(journal: Journal) -> None:
    kernel = WithoutIpv6()
    saved = SAVED._replace(policies=[*SAVED.policies[:4], SIX, *SAVED.policies[4:]])
    done = restore(kernel, journal, saved, FakeFirewall())
    assert done.result is None
    assert done.blocked == len(SAVED.policies)
    assert "2001:db8::/32" in done.left[0]
    assert blocks(kernel) == {str(p.selector.source) for p in SAVED.policies}


def test_a_restore_by_hand_that_fails_forgets_nothing_of_ours(journal: Journal) -> None:
    """Policies of ours that stand stay ours, and can be replaced and removed later."""
    kernel = FakeKernel()
    assert restore(kernel, journal, SAVED, FakeFirewall()).result is not None
    ours = journal.read_owned()
    changed = SAVED.policies[0]._replace(priority=1)
    kernel.policies[changed.key] = changed
    kernel.policies.pop(SAVED.policies[1].key)
    done = restore(kernel, journal, SAVED, FakeFirewall())
    assert "1 places are taken by others" in done.failure
    assert blocks(kernel) == {"10.1.0.0/16"}
    assert journal.read_owned().keys() == ours.keys()
    assert journal.read_owned_rules() == "rules"


def test_a_damaged_record_stays_for_him_who_looks(journal: Journal) -> None:
    path = journal.folder / "transaction"
    path.write_bytes(b"damaged")
    kernel = FakeKernel()
    done = restore(kernel, journal, SAVED, FakeFirewall())
    assert "damaged" in done.failure
    assert len(blocks(kernel)) == len(SAVED.policies)
    assert path.exists()
    path.unlink()
    assert len(journal.read_owned()) == len(SAVED.policies)


def test_what_is_blocked_stays_ours_beside_a_record_of_an_earlier_boot(journal: Journal) -> None:
    """The power went while an apply waited for its confirmation, and took what was saved along."""
    before = Journal(journal.folder, "an earlier boot")
    before.prepare()
    before.write_owned(SAVED.policies)
    before.settle()
    before.write(Record("1-1", Phase.UNCONFIRMED, (), (), before.boot, 60.0))
    kernel = FakeKernel()
    done = restore_damaged(kernel, journal, "damaged")
    assert (done.blocked, done.left) == (len(SAVED.policies), ())
    assert journal.read() is None
    assert journal.read_owned() == kernel.policies


def test_what_is_blocked_is_told_where_the_disk_is_full(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise JournalError("cannot write: No space left on device")

    monkeypatch.setattr(Journal, "write", full)
    monkeypatch.setattr(Journal, "write_owned", full)
    kernel = FakeKernel()
    done = restore(kernel, journal, SAVED, FakeFirewall())
    assert done.blocked == len(blocks(kernel)) == len(SAVED.policies)
    assert "No space left" in done.left[0]
