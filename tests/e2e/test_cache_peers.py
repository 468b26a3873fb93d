"""Caches that hits are measured beside keep the page: what is measured is not their origin."""

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from loadtest.peers.caches import CachePeer, NginxCache, Varnish
from loadtest.peers.npm import PeerMissing
from loadtest.site.fetch import Client
from loadtest.site.server import Server


@pytest.mark.parametrize("kind", [NginxCache, Varnish])
def test_a_peer_answers_when_its_origin_is_gone(kind: type[CachePeer], tmp_path: Path) -> None:
    with ExitStack() as stack:
        origin = stack.enter_context(Server("keepable", [sys.executable, "-m", "loadtest.peers.keepable"], tmp_path))
        try:
            peer = stack.enter_context(kind(tmp_path / kind.name, origin.url))
        except PeerMissing as error:
            pytest.skip(f"NOT MEASURED HERE: {error}")
        client = stack.enter_context(Client(peer.url))
        first = client.get("/")
        origin.stop()
        assert (first.status, client.get("/").body) == (200, first.body)
