"""Credentials for registries: the file that `docker login`, skopeo and oras write, as far as it holds any itself.

    {"auths": {"registry.example": {"auth": base64 of "user:password"}, ...}}

An entry is for one host, and shown to no other: where tokens come from another host than the registry's, that one needs
an entry of its own.
"""

import base64
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from vmimage.errors import OperatorError

BYTES_MAX: Final = 256 << 10

Credentials = Mapping[str, str]  # host[:port] to the value of an Authorization field


def read_credentials(path: str) -> Credentials:
    """What `registry_auth` holds.

    :raises OperatorError: no such file, readable by others, or nothing of that form.
    """
    if not path:
        return {}
    try:
        with Path(path).expanduser().open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(BYTES_MAX + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ of a user without a home
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise OperatorError(f"registry_auth: a file expected at {path}: {why}: name one that is there") from None
    if mode & 0o077:
        raise OperatorError(f"registry_auth: mode 0600 expected of {path}, got {mode:04o}: others may read it")
    try:
        auths: Mapping[str, Mapping[str, Any]] = json.loads(data)["auths"]
        return {_host(name): _field(entry) for name, entry in auths.items() if entry}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        form = '{"auths": {HOST: {"auth": BASE64}}}'
        raise OperatorError(f"registry_auth: {form} expected in {path}; helpers of docker are not asked") from None


def host_of(url: str) -> str:
    """Host and port of a URL, as entries are named."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{host}:{parts.port}" if parts.port else host


def _host(name: str) -> str:
    """Docker writes some names with a scheme and a path."""
    return host_of(name if "://" in name else f"https://{name}")


def _field(entry: Mapping[str, Any]) -> str:
    """:raises ValueError: it holds none."""
    auth = entry.get("auth")
    if auth is None and "username" in entry:
        auth = base64.b64encode(f"{entry['username']}:{entry['password']}".encode()).decode()
    if not isinstance(auth, str) or b":" not in base64.b64decode(auth, validate=True):
        raise ValueError("base64 of user:password expected")
    return f"Basic {auth}"
