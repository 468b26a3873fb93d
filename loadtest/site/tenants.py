"""A tenant of a site's origin, as its operator admits one."""

from pathlib import Path

from loadtest.site.site import Site


def add_tenant(site: Site, name: str, *hosts: str) -> Path:
    """Make a tenant's keys, admit it, give it hosts and a token for uploads; its key folder.

    :raises CommandFailed: the origin would not.
    """
    folder = site.folder / name
    here = ("--origin", site.origin.url, "--keys", str(site.keys))
    site.run("tenant", "keygen", str(folder), "--tenant", name, "--trust", str(site.keys))
    site.run("tenant", "add", str(folder / "tenant.json"), *here)
    token = site.run("token", "add", "--tenant", name, "--keys", str(site.keys))
    (folder / "token").touch(0o600)
    (folder / "token").write_text(token)
    for host in hosts:
        site.run("tenant", "grant", name, "--host", host, "--proof", "none", *here)
    return folder
