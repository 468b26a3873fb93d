"""What all tests share: a running site, images of the samples, and a word about what this machine cannot do."""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

import pytest

from edge.compiled.finder import install
from edge.compiled.interpreter import description
from loadtest.site.server import Server
from loadtest.site.site import LOOPBACK, Site, example

KVM_GET_API_VERSION = 0xAE00  # linux/kvm.h
KVM_API_VERSION = 12


def kvm_missing() -> str:
    """Why KVM cannot be used here; empty when it can."""
    try:
        device = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    try:
        version = fcntl.ioctl(device, KVM_GET_API_VERSION, 0)
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    finally:
        os.close(device)
    return "" if version == KVM_API_VERSION else f"KVM API {KVM_API_VERSION} expected, got {version}"


def pytest_report_header() -> str:
    """Say aloud which engines the run covers."""
    why = kvm_missing()
    engines = f"engines: unicorn only, KVM IS NOT TESTED HERE ({why})" if why else "engines: unicorn, kvm usable"
    return f"{engines}; {description()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs KVM on a machine without it, and what needs plain Python where modules are compiled."""
    if install().kind == "compiled":
        for item in items:
            if item.get_closest_marker("plain"):
                item.add_marker(pytest.mark.skip(reason="stands in for a part of compiled modules"))
    if why := kvm_missing():
        for item in items:
            if item.get_closest_marker("kvm"):
                item.add_marker(pytest.mark.skip(reason=why))


class SharedSite(Site):
    """A site of many tests, each of which may publish under names of its own, and leaves the servers as they are."""

    _ready = False

    def __enter__(self) -> Self:
        super().__enter__()
        self._ready = True
        return self

    def add_edge(
        self,
        *,
        memory: str | None = None,
        config: Mapping[str, int | float | str | bool] | None = None,
        origin: str = "",
        listen: str = f"{LOOPBACK}:0",
        name: str = "",
    ) -> Server:
        """One of those that it starts with; no test adds another, which later tests would meet."""
        assert not self._ready, "a test that needs an edge more takes `own_site`"
        return super().add_edge(memory=memory, config=config, origin=origin, listen=listen, name=name)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One origin and two edges, empty. Shared: a test publishes under names of its own and stops nothing."""
    with SharedSite(tmp_path_factory.mktemp("site"), edges=2, edge_config={"refresh": 0.2}) as running:
        yield running


@pytest.fixture(scope="session")
def image(site: Site) -> Callable[..., Path]:
    """A sample built into an image, by name and build options; built once."""
    built: dict[tuple[str, ...], Path] = {}

    def build_once(name: str, *options: str) -> Path:
        key = (name, *options)
        if key not in built:
            built[key] = site.build(example(name), *options, name=f"{name}-{len(built)}")
        return built[key]

    return build_once


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """One origin and one edge for one test, to be stopped, killed or damaged as it likes."""
    with Site(tmp_path, edge_config={"refresh": 0.2}) as running:
        yield running
