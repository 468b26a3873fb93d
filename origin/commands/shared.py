"""Options that several commands take, each said once, and what is made of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vmimage.errors import OperatorError, PublisherError

if TYPE_CHECKING:  # imported when it is needed: `nunatak --help` stays quick
    from securesystemslib.signer import Signer

    from origin.model.elsewhere import Elsewhere
    from origin.publish.authors import Signing
    from origin.publish.written import Choice

TOKEN_VARIABLE: Final = "NUNATAK_TOKEN"  # of the environment, for machines that are given it there

KeysOption = Annotated[
    Path,
    typer.Option(
        "--keys",
        envvar="NUNATAK_KEYS",
        help="Key folder that `nunatak keygen` or `nunatak tenant keygen` made.",
        metavar="FOLDER",
    ),
]
OriginOption = Annotated[
    str, typer.Option("--origin", envvar="NUNATAK_ORIGIN", help="URL of the origin.", metavar="URL")
]
TokenOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        help="File with the token.",
        metavar="FILE",
        show_default="the variable NUNATAK_TOKEN, else token in the key folder",
    ),
]
PlainOption = Annotated[
    bool,
    typer.Option(
        "--plain-http",
        envvar="NUNATAK_PLAIN_HTTP",
        help="Send the token over plain HTTP to another machine, where others may read it.",
    ),
]
WithKeyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--with-key",
        help="Private key that signs, in place of those in the key folder: a file, env:NAME, or KEYID=SOURCE of a "
        "token or key service; may be repeated.",
        metavar="KEY",
        show_default="those in the key folder",
    ),
]
RegistryOption = Annotated[
    str | None,
    typer.Option(
        "--registry",
        help="OCI registry that images and disks are sent to in place of the origin, which must allow it: "
        "oci+https://HOST/REPOSITORY. Credentials are in NUNATAK_REGISTRY_USER and NUNATAK_REGISTRY_PASSWORD, or in "
        "the file of `docker login`.",
        metavar="URL",
        show_default="the origin",
    ),
]
RegistriesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--registry",
        help="OCI registry that images of services may be in beside this origin, oci+https://HOST/REPOSITORY; may be "
        "repeated. Credentials are where those of `nunatak publish --registry` are.",
        metavar="URL",
        show_default="none",
    ),
]
IssuersOption = Annotated[
    Path | None,
    typer.Option(
        help="TOML file of issuers whose ID tokens (OpenID Connect) open uploads for tenants; needs the extra "
        "nunatak[oidc].",
        metavar="FILE",
        show_default="none",
    ),
]
HostsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--host",
        help="Host that the service answers for, in place of those it has; may be repeated.",
        metavar="HOST",
        show_default="the hosts it has",
    ),
]
TenantOption = Annotated[
    str,
    typer.Option(
        help="Tenant that owns it: services of one tenant share CPU time and workers.",
        metavar="NAME",
        show_default="the tenant it has, else a tenant of its own",
    ),
]
WrittenOption = Annotated[
    str | None,
    typer.Option(
        help="What becomes of pages that a service wrote to a copy-on-write disk whose base changes: keep lays them "
        "on top of the new base, drop begins with the new base alone.",
        metavar="keep|drop",
        show_default="none, such a change is refused",
    ),
]
YesOption = Annotated[
    bool,
    typer.Option(
        "--yes",
        help="Publish also what is far larger than what was there: an image, a file of the catalogue, a list of hosts.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
FilesOption = Annotated[
    Path | None,
    typer.Option(help="Folder that the program finds at /, read-only.", metavar="FOLDER", show_default="none"),
]
EnvFileOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--env-file",
        help="File of variables of its environment, NAME=VALUE in each line; may be repeated. They become part of the "
        "image: secrets are for `nunatak secrets`.",
        metavar="FILE",
        show_default="none",
    ),
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option(help="Variable of its environment; may be repeated.", metavar="NAME=VALUE", show_default="none"),
]


def load_upload_token(keys: Path, token_file: Path | None) -> str:
    """The token for uploads: of a file, of the environment, or of the key folder.

    :raises OperatorError: there is none, or others may read it.
    """
    from origin.keys import TOKEN_FILE, load_token, parse_token

    if token_file is None and (text := os.environ.get(TOKEN_VARIABLE)) is not None:
        return parse_token(text.encode(), f"the variable {TOKEN_VARIABLE}")
    return load_token(token_file or keys / TOKEN_FILE)


def load_signing(keys: Path, with_keys: Sequence[str] | None = None) -> Signing:
    """Who publishes with a key folder: the operator, by the publisher key, or a tenant with keys of its own.

    :param with_keys: where the private keys are that sign; none: in the folder.
    :raises OperatorError: a key is missing, or others may read it.
    """
    from origin.model.signers import signer
    from origin.model.tenant_keys import is_tenants, load_card, load_signers
    from origin.publish.authors import Tenant

    if not is_tenants(keys):
        return load_operator(keys, with_keys)
    if not with_keys:
        return Tenant(*load_signers(keys))
    card = load_card(keys)
    return Tenant(card.tenant, tuple(signer(source, card.keys) for source in with_keys))


def load_operator(keys: Path, with_keys: Sequence[str] | None = None) -> Signer:
    """The publisher key of an origin's operator.

    :param with_keys: where it is; none: in the folder.
    :raises OperatorError: it is missing, others may read it, or the folder is a tenant's.
    """
    from origin.keys import load_signer, load_trust
    from origin.model.signers import signer
    from origin.model.tenant_keys import is_tenants

    if is_tenants(keys):
        raise OperatorError(
            f"the key folder of the origin's operator expected, got {keys}, which is a tenant's: "
            "name the operator's with --keys"
        )
    if not with_keys:
        return load_signer(keys, "publisher")
    if len(with_keys) > 1:
        raise PublisherError("--with-key: one publisher key expected, got several: name the one that signs")
    delegations = load_trust(keys).targets.delegations
    return signer(with_keys[0], delegations.keys.values() if delegations is not None else ())


def elsewhere(registry: str | None, silence_s: float | None = None) -> Elsewhere | None:
    """The registry of `--registry`.

    :param silence_s: that its answers may take; None: what uploads need.

    :raises OperatorError: it is none.
    """
    from origin.model.elsewhere import SILENCE_TIMEOUT_S, Elsewhere, credentials_for, parse_registry

    if registry is None:
        return None
    place = parse_registry(registry)
    return Elsewhere(place, lambda host: credentials_for(host, None), silence_s=silence_s or SILENCE_TIMEOUT_S)


def written_choice(text: str | None) -> Choice | None:
    """What `--written` says.

    :raises PublisherError: neither keep nor drop.
    """
    choices: dict[str | None, Choice | None] = {None: None, "keep": "keep", "drop": "drop"}
    if text in choices:
        return choices[text]
    raise PublisherError(f"--written: keep or drop expected, got {text!r}")
