"""Runs the key daemons of Debian in mount and network namespaces of their own.

``./dev test`` unpacks the packages below ``.venv/daemons``; nothing is installed, since the two
conflict.  Inside, their files lie over those of the machine.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.translated import ROOT

UNPACKED: Final = ROOT / ".venv" / "daemons"
LIMIT: Final = 120
"""Seconds; everything here takes a few."""

_ENTER: Final = """
set -eu
mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr
mount -t tmpfs tmpfs /run
ip link set lo up
ip addr add 192.0.2.1/24 dev lo
cd /run
"""

CHARON: Final = """
export STRONGSWAN_CONF=/run/strongswan.conf LD_LIBRARY_PATH=/usr/lib/ipsec
cat >/run/strongswan.conf <<END
charon-systemd {
  load_modular = yes
  plugins {
    include $1/etc/strongswan.d/charon/*.conf
  }
}
swanctl {
  load = pem pkcs1 x509 openssl
}
END
charon-systemd >/run/charon.log 2>&1 &
charon=$!
trap 'kill $charon' EXIT
i=0
until [ -S /run/charon.vici ]; do
  i=$((i + 1))
  [ $i -lt 200 ] && kill -0 $charon || { cat /run/charon.log >&2; exit 99; }
  sleep 0.1
done
"""
"""Starts charon with the modules that Debian loads by itself."""

PLUTO: Final = """
mkdir -p /run/pluto /run/nss
certutil -N -d sql:/run/nss --empty-password
/usr/libexec/ipsec/pluto --config "$2" --nssdir /run/nss --secretsfile /run/none \
  --logfile /run/pluto.log --nofork >/run/out 2>&1 &
pluto=$!
trap 'kill $pluto' EXIT
i=0
until grep -qs 'listening for IKE messages' /run/pluto.log; do
  i=$((i + 1))
  [ $i -lt 300 ] && kill -0 $pluto || { cat /run/out /run/pluto.log >&2; exit 99; }
  sleep 0.1
done
"""
"""Starts pluto with the file ``$2``, and waits until it has read its connections."""

OUTWARD: Final = """
i=0
until [ "$(ip xfrm policy list nosock | grep -c 'dir out')" -ge 7 ] || [ $i -ge 100 ]; do
  i=$((i + 1))
  sleep 0.1
done
"""
"""Waits for the seven outward policies of office.conf: the daemons install behind their answer."""


@functools.cache
def missing(name: str) -> str:
    """Why a daemon cannot run here; empty if it can."""
    if os.geteuid() != 0:
        return "not root: namespaces cannot be made"
    if not (UNPACKED / name / "unpacked").is_file():
        return f"the Debian packages of {name} are not unpacked: ./dev test does it"
    for program in ("unshare", "ip"):
        if shutil.which(program) is None:
            return f"{program} is missing"
    tried = run(name, "true", check=False)
    return (
        "" if tried.returncode == 0 else f"no namespaces or overlays here: {tried.stderr.strip()}"
    )


def needs(name: str) -> pytest.MarkDecorator:
    """Skips aloud where a daemon cannot run."""
    why = missing(name)
    return pytest.mark.skipif(bool(why), reason=why)


def run(
    name: str, script: str, file: Path | None = None, *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a shell script with a daemon's programs at hand; ``$2`` is the file."""
    done = subprocess.run(
        ["unshare", "-mn", "sh", "-c", _ENTER + script, "sh", str(UNPACKED / name), str(file)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"{done.returncode}: {done.stdout}\n{done.stderr}")
    return done
