"""Runs the tests of this folder in user-mode Linux, and reports each as its own.

On the host the tests are collected as ever, so names, ``-k`` and counts are the usual ones. They
are put last. At the first of them one guest boots, or two where there are many tests, and runs
pytest on all that were selected; the reports come back through the scratch folder and are given to
each test as if it had run here.
Where the guest cannot run, each test is skipped with the reason. Where it dies on the way, the
tests that have not ended fail and say how. With ``NETKEY_KERNEL`` the guest is a Debian kernel
under QEMU instead (:mod:`tests.netkey.qemu`).

Inside, this file only writes down the reports and provides the bed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.netkey import qemu, uml
from tests.netkey.bed import V4, V6, Addresses, Bed

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).parent
RELEASE: Final = os.environ.get("NETKEY_GUEST")
"""The guest's kernel, and so: whether this is the guest."""
REPORTS: Final = "NETKEY_REPORTS"
KIND: Final = qemu.Guest if qemu.TREE in os.environ else uml.Guest
collect_ignore = [] if KIND is qemu.Guest else ["test_links.py"]  # see there
LIMIT: Final = 3000.0 if KIND is qemu.Guest else 600.0
WORTH_TWO: Final = 40
"""So many tests take longer than a boot."""
_done = pytest.StashKey[dict[str, list[pytest.TestReport]]]()


def _is_ours(item: pytest.Item) -> bool:
    return HERE in item.path.parents


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if _is_ours(item)]
    for item in ours:
        item.add_marker(pytest.mark.netkey)
    if RELEASE or not ours:
        return
    reason = KIND.missing()
    if reason:
        for item in ours:
            item.add_marker(pytest.mark.skip(reason=f"no guest: {reason}"))
    items[:] = [item for item in items if not _is_ours(item)] + ours


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    if RELEASE or not _is_ours(item) or item.get_closest_marker("skip"):
        return None
    done = item.config.stash.get(_done, None)
    if done is None:
        done = item.config.stash[_done] = _run_all(item.session)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in done[item.nodeid]:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it once more where nothing was tested: hundreds of short lines are easily missed."""
    reason = None if RELEASE else KIND.missing()
    left = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if HERE.name in Path(report.nodeid.partition("::")[0]).parts
    ]
    if reason and left:
        terminalreporter.section("packets not tested", red=True)
        terminalreporter.line(f"{len(left)} tests of packets were skipped, no guest: {reason}")


def _run_all(session: pytest.Session) -> dict[str, list[pytest.TestReport]]:
    """Run every selected test of this folder, in two guests where there are processors for it."""
    items = [item for item in session.items if _is_ours(item)]
    guests = 2 if len(items) >= WORTH_TWO and (os.cpu_count() or 1) > 1 else 1
    stop = threading.Event()
    done: dict[str, list[pytest.TestReport]] = {}
    with ThreadPoolExecutor(guests) as pool:
        # Neighbours in the list take alike long.
        runs = [pool.submit(_run, session.config, items[n::guests], stop) for n in range(guests)]
        try:
            for run in runs:
                done |= run.result()
        except BaseException:
            stop.set()
            raise
    return done


def _run(
    config: pytest.Config, items: list[pytest.Item], stop: threading.Event
) -> dict[str, list[pytest.TestReport]]:
    """Boot once, run these tests, and sort the reports by test."""
    output = bytearray()
    shown = config.getoption("capture") == "no"

    def write(data: bytes) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        output.extend(data)
        if shown:
            sys.stdout.write(data.decode(errors="replace"))
            sys.stdout.flush()

    with tempfile.TemporaryDirectory(prefix="netkey-tests-") as name:
        scratch = Path(name)
        reports = scratch / "reports"
        reports.touch()
        (scratch / "selected").write_text("".join(f"{item.nodeid}\n" for item in items))
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "addopts="]
        command += ["--strict-markers", "--strict-config", f"--tb={config.getoption('tbstyle')}"]
        colour = config.get_terminal_writer().hasmarkup
        command += [f"--color={'yes' if colour else 'no'}", *["-v"] * config.getoption("verbose")]
        command += [f"@{scratch}/selected"]
        try:
            status = uml.run(
                command,
                write=write,
                scratch=scratch,
                folder=config.rootpath,
                environment={
                    REPORTS: str(reports),
                    **{k: os.environ[k] for k in (qemu.TREE,) if k in os.environ},
                },
                limit=LIMIT,
                kind=KIND,
            )
            end = f"the tests in the guest ended with status {status} before this one"
        except uml.GuestError as error:
            end = str(error)
        lines = reports.read_text().splitlines()
    done: dict[str, list[pytest.TestReport]] = {item.nodeid: [] for item in items}
    for line in lines:
        report = config.hook.pytest_report_from_serializable(config=config, data=json.loads(line))
        if isinstance(report.longrepr, list):  # the place and reason of a skip: JSON has no tuples
            report.longrepr = tuple(report.longrepr)
        done[report.nodeid].append(report)
    told = False
    for item in items:
        if not any(report.when == "teardown" for report in done[item.nodeid]):
            text = output.decode(errors="replace")
            words = end.splitlines()[0] if told else f"{end}\n\nits output was:\n{text}"
            done[item.nodeid].append(_failure(item, words))
            told = True
    return done


def _failure(item: pytest.Item, text: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="failed",
        longrepr=text,
        when="call",
    )


if RELEASE and REPORTS in os.environ:

    class Reporter:
        """Opens the file for each report: the host has it even if the guest dies next."""

        def __init__(self, config: pytest.Config) -> None:
            self._config = config

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            data = self._config.hook.pytest_report_to_serializable(
                config=self._config, report=report
            )
            with Path(os.environ[REPORTS]).open("a") as file:
                file.write(json.dumps(data) + "\n")

    def pytest_sessionstart(session: pytest.Session) -> None:
        session.config.pluginmanager.register(Reporter(session.config))


@pytest.fixture(scope="session")
def one_bed() -> Iterator[Bed]:
    with Bed() as bed:
        yield bed


@pytest.fixture
def bed(one_bed: Bed) -> Iterator[Bed]:
    """The bed, as new: without states, policies, firewall rules or given addresses."""
    one_bed.reset()
    yield one_bed
    one_bed.reset()


@pytest.fixture(params=[V4, V6], ids=["v4", "v6"])
def net(request: pytest.FixtureRequest) -> Addresses:
    """The bed's addresses, once in each family."""
    addresses = request.param
    assert isinstance(addresses, Addresses)
    return addresses
