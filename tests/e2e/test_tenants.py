"""Does a tenant with keys of its own publish to running edges, as the tenant that they account for?"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest.site.fetch import Client
from loadtest.site.site import CommandFailed, Site
from tests.support.edges import admin


def _tenant(site: Site, name: str) -> Path:
    """The key folder of a tenant that the operator has added."""
    folder = site.folder / name
    site.run("tenant", "keygen", str(folder), "--tenant", name, "--trust", str(site.keys))
    site.run("tenant", "add", str(folder / "tenant.json"), "--origin", site.origin.url, "--keys", str(site.keys))
    (folder / "token").touch(0o600)
    (folder / "token").write_text(site.run("token", "add", "--tenant", name, "--keys", str(site.keys)))
    return folder


def test_who_signs_is_whose_machines_run(site: Site, image: Callable[..., Path]) -> None:
    e2e, other = _tenant(site, "e2e-acme"), _tenant(site, "e2e-other")
    operator = ("--origin", site.origin.url, "--keys", str(site.keys))
    site.run("tenant", "grant", "e2e-acme", "--host", "acme-shop.test", "--proof", "none", *operator)
    words = ("publish", str(image("hello")), "--host", "acme-shop.test", "--origin", site.origin.url)
    site.run(*words, "--service", "e2e-acme.shop", "--keys", str(e2e))
    for edge in site.edges:
        with Client(edge.url) as client:
            answer = client.get("/", host="acme-shop.test")
        assert answer.status == 200, answer.body
        rows = json.loads(admin(edge, "services").body)["services"]
        assert [row["tenant"] for row in rows if row["service"] == "e2e-acme.shop"] == ["e2e-acme"]
    for keys, service, why in (
        (other, "e2e-other.shop", "which the operator has not given to it"),
        (other, "e2e-acme.shop", "a service of tenant e2e-other expected"),
        (site.keys, "e2e-acme.shop", "publishes with keys of its own"),
    ):
        with pytest.raises(CommandFailed, match=why):
            site.run(*words, "--service", service, "--keys", str(keys))
