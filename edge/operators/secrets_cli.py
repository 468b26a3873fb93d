"""`nunatak secrets`: what an operator gives services, in the folder that the edge reads. Values are never shown."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmimage.errors import OperatorError

if TYPE_CHECKING:
    from edge.config.options import EdgeConfig

SecretsOption = Annotated[
    Path | None,
    typer.Option(
        "--secrets",
        envvar="NUNATAK_EDGE_SECRETS",
        help="Folder of the secrets, the edge's option of that name.",
        metavar="FOLDER",
        show_default="that of --config",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="NUNATAK_EDGE_CONFIG",
        help="TOML file of the edge, which says where its secrets and its operators' pages are.",
        metavar="FILE",
        show_default="none",
    ),
]
SocketOption = Annotated[
    Path | None,
    typer.Option(
        "--socket",
        help="Socket of the edge, which is asked whether it knows the service.",
        metavar="FILE",
        show_default="that of --config",
    ),
]
TenantOption = Annotated[
    str,
    typer.Option(
        "--tenant",
        help="Tenant of the service: another one's finds nothing under its name.",
        metavar="NAME",
        show_default="the one that the edge names, else the service's own name",
    ),
]
ServiceArgument = Annotated[str, typer.Argument(help="Service that has the secret.", metavar="SERVICE")]
NameArgument = Annotated[str, typer.Argument(help="Name of the variable.", metavar="NAME")]

app = typer.Typer(help="Give services secrets: variables of their environment that are in no image.")


@app.command("set")
def set_secret(
    service: ServiceArgument,
    name: NameArgument,
    secrets: SecretsOption = None,
    config: ConfigOption = None,
    socket: SocketOption = None,
    tenant: TenantOption = "",
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Ask no edge whether it knows the service, which is still to come.")
    ] = False,
) -> None:
    """Give a service a secret, or another value for one; the value is read from standard input.

    The edge gives it to all machines that start from its next look at the folder on, and replaces those that it has.
    """
    from edge.common.private import FOLDER_MODE, private_folder, write_private
    from edge.config.secrets import VALUE_MAX, block_of, check_name, value_of

    if sys.stdin.isatty():
        raise OperatorError(f"{name}: its value expected on standard input: nunatak secrets set ... < FILE")
    try:
        check_name(name)
        value = value_of(sys.stdin.buffer.read(VALUE_MAX + 3))
    except ValueError as error:
        raise OperatorError(f"{name}: {error}") from None
    loaded = _load(config)
    root = _root(secrets, loaded)
    found = _holder(service, tenant, _place(socket, loaded), unchecked=unchecked)
    private_folder(root, "--secrets")
    (root / found).mkdir(mode=FOLDER_MODE, exist_ok=True)
    try:
        block_of({**_values(root, found), name: value})
    except ValueError as error:
        raise OperatorError(f"{found}: {error}") from None
    write_private(root / found / name, value)
    typer.echo(f"{found}: {name} is set")


@app.command("remove")
def remove_secret(
    service: ServiceArgument,
    name: NameArgument,
    secrets: SecretsOption = None,
    config: ConfigOption = None,
    tenant: TenantOption = "",
) -> None:
    """Take a secret from a service; the edge replaces the machines that have it."""
    from edge.common.private import sync_folder
    from edge.config.secrets import check_name, holder

    _check_names(service, tenant)
    root, found = _root(secrets, _load(config)), holder(service, tenant)
    try:
        check_name(name)
        (root / found / name).unlink()
    except (ValueError, FileNotFoundError, NotADirectoryError):
        known = ", ".join(_values(root, found)) or "none"
        raise OperatorError(
            f"{found}: a secret that is there expected ({known}), got {name!r}: name one of these"
        ) from None
    sync_folder(root / found)
    if not any((root / found).iterdir()):
        (root / found).rmdir()
    typer.echo(f"{found}: {name} is removed")


@app.command("list")
def list_secrets(secrets: SecretsOption = None, config: ConfigOption = None) -> None:
    """List services with the names of their secrets, and what an edge cannot use of the folder.

    The exit code is 1 if there is something that it cannot use.
    """
    from edge.content.seal import new_seal
    from edge.devices.secrets import read_secrets

    found, problems = read_secrets(_root(secrets, _load(config)), new_seal())
    for name, held in sorted(found.items()):
        typer.echo(f"{name}: {', '.join(held.names) or 'none'}")
    for problem in problems:
        typer.echo(problem, err=True)
    raise typer.Exit(int(bool(problems)))


def _load(config: Path | None) -> "EdgeConfig | None":
    from edge.config.options import load_config

    return load_config(config, {}, os.environ) if config is not None else None


def _root(secrets: Path | None, loaded: "EdgeConfig | None") -> Path:
    root = secrets or (loaded.secrets_folder if loaded is not None else None)
    if root is None:
        raise OperatorError("--secrets, or --config with a file that has secrets, must be given")
    return root


def _place(socket: Path | None, loaded: "EdgeConfig | None") -> Path | None:
    if socket is not None or loaded is None:
        return socket
    at = loaded.admin_address
    return at if isinstance(at, Path) else None


def _check_names(service: str, tenant: str) -> None:
    from vmimage.manifest import is_name

    for what, name in (("SERVICE", service), ("--tenant", tenant or service)):
        if not is_name(name):
            raise OperatorError(
                f"{what}: 1 to 63 of a-z 0-9 . _ - expected, a letter or digit at both ends, got {name!r}"
            )


def _holder(service: str, tenant: str, place: Path | None, *, unchecked: bool) -> str:
    """Who is to have it.

    :raises OperatorError: the edge knows no such service, or it is another tenant's; or no edge can be asked.
    """
    from edge.config.secrets import holder

    _check_names(service, tenant)
    if unchecked:
        return holder(service, tenant)
    if place is None:
        raise OperatorError("--config or --socket of an edge that knows the service, or --unchecked, must be given")
    known = _ask(place, service)
    if tenant and tenant != known["tenant"]:
        raise OperatorError(f"--tenant: {known['tenant']}, whose service {service} is, expected, got {tenant}")
    return holder(service, known["tenant"])


def _ask(place: Path, service: str) -> dict[str, Any]:
    import json

    from edge.operators.client import Door, ask

    status, body = ask(Door(place), "secrets", {"service": service}, "GET")
    if status == 421 or status == 404:
        raise OperatorError(f"{service}: a service of the edge's catalogue expected, it knows none of this name")
    if status != 200:
        raise OperatorError(f"{service}: the edge cannot say whether it knows it (status {status}); or use --unchecked")
    known: dict[str, Any] = json.loads(body)
    return known


def _values(root: Path, name: str) -> dict[str, bytes]:
    from edge.common.secret_files import NotPrivate, files
    from edge.config.secrets import COUNT_MAX, VALUE_MAX

    try:
        return files(root, name, COUNT_MAX, VALUE_MAX + 2)
    except NotPrivate as error:
        raise OperatorError(f"--secrets: {error}") from None
