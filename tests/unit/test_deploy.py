"""What is deployed: units, manifests and alerts say what the program takes, and take nothing of its sandbox away."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.common.counters import GAUGES, PREFIX, Counters
from edge.config.options import load_config
from edge.vmm.sandbox import seccomp

DEPLOY = Path(__file__).resolve().parents[2] / "docs" / "deploy"
SYSTEMD = DEPLOY / "systemd"
EXPOSURE_MAX = 3.0  # of 10, as `systemd-analyze security` counts
# What a worker calls before its filter stands, to put up the layers of `edge.vmm.sandbox.layers`.
LAYERS = (
    "unshare mount chroot chdir setgroups setresgid setresuid prctl capset landlock_create_ruleset"
    " landlock_restrict_self prlimit64 seccomp memfd_create"
).split()


def needs(program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"UNITS ARE NOT TESTED HERE: no {program}")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lines_of(unit: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", (SYSTEMD / unit).read_text(), re.MULTILINE)


@pytest.mark.parametrize("unit", ["nunatak-edge.service", "nunatak-origin.service"])
def test_how_much_a_unit_leaves_open(unit: str) -> None:
    needs("systemd-analyze")
    said = run("systemd-analyze", "security", "--offline=yes", "--no-pager", str(SYSTEMD / unit))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found
    assert float(found[1]) <= EXPOSURE_MAX


@pytest.mark.parametrize("unit", ["nunatak-edge.service", "nunatak-origin.service"])
def test_a_unit_is_one(unit: str) -> None:
    """All lines are known; that the program is not installed here is all there is to say."""
    needs("systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(SYSTEMD / unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "is not executable" not in line and "Unit " not in line]
    assert not said


def permitted(unit: str) -> set[str]:
    """Names of the system calls that a unit lets pass."""
    found: set[str] = set()
    for line in lines_of(unit, "SystemCallFilter"):
        for word in line.removeprefix("~").split():
            names = _of_set(word) if word.startswith("@") else {word}
            found = found - names if line.startswith("~") else found | names
    return found | _of_set("@default")


def _of_set(name: str) -> set[str]:
    """Calls of a set and of those in it."""
    lines = [line.strip() for line in run("systemd-analyze", "syscall-filter", name).splitlines()[1:]]
    calls = {line for line in lines if line and not line.startswith("#")}
    return {call for call in calls if not call.startswith("@")}.union(
        *(_of_set(call) for call in calls if call.startswith("@"))
    )


def test_the_edges_unit_lets_workers_put_up_their_sandbox() -> None:
    needs("systemd-analyze")
    calls = permitted("nunatak-edge.service")
    assert not {*seccomp.ALWAYS, *LAYERS, "fcntl", "ioctl", "tgkill", "newfstatat"} - calls
    (namespaces,) = lines_of("nunatak-edge.service", "RestrictNamespaces")
    assert {"user", "mnt", "net", "ipc", "uts"} <= set(namespaces.split())
    for name in ("MemoryDenyWriteExecute", "PrivateDevices"):  # Unicorn translates; /dev/kvm is a device
        assert lines_of("nunatak-edge.service", name) == []
    assert lines_of("nunatak-edge.service", "DeviceAllow") == ["/dev/kvm rw"]


def test_the_configuration_of_the_kustomize_base_is_one() -> None:
    config = load_config(DEPLOY / "kustomize" / "edge" / "edge.toml", {})
    manifest = (DEPLOY / "kustomize" / "edge" / "edge.yaml").read_text()
    grace = re.search(r"terminationGracePeriodSeconds: (\d+)", manifest)
    assert grace
    assert int(grace[1]) > config.drain * 2 + 30
    assert f'"--cache", "{config.cache}"' in manifest


def test_kustomize_takes_the_base() -> None:
    needs("kubectl")
    kinds = re.findall(r"^kind: (\w+)$", run("kubectl", "kustomize", str(DEPLOY / "kustomize")), re.MULTILINE)
    assert sorted(kinds) == ["ConfigMap", "Service", "Service", "StatefulSet", "StatefulSet"]


def test_alerts_name_metrics_that_there_are() -> None:
    known = {PREFIX + name for name in GAUGES} | {f"{PREFIX}{name}_total" for name in Counters.__slots__}
    named = set(re.findall(r"nunatak_[a-z_]+", (DEPLOY / "alerts.yml").read_text()))
    assert named
    assert not named - known


def test_the_guide_says_what_to_do_about_each_alert() -> None:
    guide = (DEPLOY.parent / "how-to" / "when-an-edge-is-unwell.md").read_text()
    alerts = re.findall(r"^ +- alert: (\w+)$", (DEPLOY / "alerts.yml").read_text(), re.MULTILINE)
    assert len(alerts) > 10
    assert set(re.findall(r"\*(\w+)\*", guide.partition("## Alerts")[2].partition("\n## ")[0])) == set(alerts)
