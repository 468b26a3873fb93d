"""The commands `nunatak keys`: whose keys sign root, targets, snapshot, timestamp and bins, and changes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from origin.commands.shared import JsonOption, KeysOption, OriginOption, PlainOption, TokenOption
from vmimage.errors import PublisherError
from vmimage.text import plain

if TYPE_CHECKING:
    from securesystemslib.signer import Key, Signer

    from vmimage.ceremony import Change, Proposal

RoleArgument = Annotated[
    str, typer.Argument(help="Role: root, targets, snapshot, timestamp or publisher.", metavar="ROLE")
]
FileArgument = Annotated[Path, typer.Argument(help="File of the proposal.", metavar="FILE")]
KeyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        help="Private key that signs beside those in the key folder: a file, env:NAME, or KEYID=hsm:ID and the "
        "addresses of key services that securesystemslib knows; may be repeated.",
        metavar="KEY",
        show_default="none",
    ),
]
AddOption = Annotated[
    list[str] | None,
    typer.Option(
        "--add", help="Public key for a role, a PEM file; may be repeated.", metavar="ROLE=FILE", show_default="none"
    ),
]
RemoveOption = Annotated[
    list[str] | None,
    typer.Option(
        "--remove",
        help="Key that a role shall have no more, by the beginning of its identifier; may be repeated.",
        metavar="ROLE=KEYID",
        show_default="none",
    ),
]
ThenOption = Annotated[
    int | None,
    typer.Option("--threshold", min=1, help="How many keys sign then.", metavar="N", show_default="as before"),
]
ThresholdOption = Annotated[
    list[str] | None,
    typer.Option(
        "--threshold", help="How many keys of a role sign; may be repeated.", metavar="ROLE=N", show_default="as before"
    ),
]

keys = typer.Typer(
    help="List the keys of an origin's roles, and change them at once or in steps.", no_args_is_help=True
)


@keys.command("list")
def list_(origin: OriginOption, folder: KeysOption, as_json: JsonOption = False) -> None:
    """List roles with their keys, how many of them sign, which are in the key folder, and until when it is good."""
    from origin.keys import folder_signers, load_top
    from origin.publish.client import carry_out
    from origin.publish.keys import read_top
    from vmimage.ceremony import KEY_ROLES
    from vmimage.renewal import ROOT_ROLES

    trust = carry_out(read_top(*load_top(folder)), url=origin).state.trust
    here = {signer.public_key.keyid for role in KEY_ROLES for signer in folder_signers(folder, role)}
    signed = {role: (trust.root.roles[role].threshold, trust.root.roles[role].keyids) for role in ROOT_ROLES}
    signed["publisher"] = trust.bin_keys[0], list(trust.bin_keys[1])
    ends = {"root": trust.root.expires, "targets": trust.targets.expires}
    if as_json:
        said = {
            role: {
                "threshold": threshold,
                "keys": {keyid: keyid in here for keyid in keyids},
                "expires": ends[role].isoformat() if role in ends else None,
            }
            for role, (threshold, keyids) in signed.items()
        }
        typer.echo(json.dumps(said, indent=1))
        return
    for role, (threshold, keyids) in signed.items():
        until = f", good until {ends[role]:%Y-%m-%d}" if role in ends else ""
        typer.echo(f"{role}: {threshold} of {len(keyids)}{until}")
        for keyid in keyids:
            typer.echo(plain(f"  {keyid}{'  in this folder' if keyid in here else ''}"))


@keys.command()
def new(file: Annotated[Path, typer.Argument(help="File to make, of mode 0600.", metavar="FILE")]) -> None:
    """Make a private key for a role, and print its public key, which `--add` takes."""
    from origin.keys import make_key

    typer.echo(make_key(file), nl=False)


@keys.command()
def public(
    address: Annotated[
        str, typer.Argument(help="Where the private key is: hsm:ID?label=TOKEN, both optional.", metavar="ADDRESS")
    ],
) -> None:
    """Print the public key of a private one on a token (PKCS #11), which `--add` takes."""
    from origin.model.signers import public_key

    typer.echo(public_key(address).keyval["public"], nl=False)


@keys.command()
def prepare(
    file: FileArgument,
    origin: OriginOption,
    folder: KeysOption,
    add: AddOption = None,
    remove: RemoveOption = None,
    threshold: ThresholdOption = None,
) -> None:
    """Write what is to be signed for a change of keys, from what the origin has now. Nothing is changed yet."""
    from origin.keys import load_top, replace_file
    from origin.publish.client import carry_out
    from origin.publish.keys import prepare as preparing

    changes = _changes(add, remove, threshold)
    proposal = carry_out(preparing(*load_top(folder), changes, datetime.now(UTC)), url=origin)
    replace_file(file, proposal.to_bytes())
    _show(proposal)


@keys.command()
def sign(
    file: FileArgument,
    key: KeyOption = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            help="Key folder, all of whose keys of root and targets sign.",
            metavar="FOLDER",
            show_default="none",
        ),
    ] = None,
) -> None:
    """Sign a proposal with the keys that are here, after showing what it changes. Needs no network."""
    from origin.keys import replace_file
    from vmimage.ceremony import parse_proposal, sign_proposal

    proposal = parse_proposal(_read(file))
    if folder is None and not key:
        raise PublisherError("--key or --keys expected, got neither: say what signs")
    signed = sign_proposal(proposal, _signers(proposal, folder, key))
    for line in signed:
        typer.echo(f"signed {line}")
    if signed:
        replace_file(file, proposal.to_bytes())
    _show(proposal)
    if not signed:
        raise PublisherError("a key that may sign this change expected, got none: see above which may")


@keys.command()
def publish(
    file: FileArgument,
    origin: OriginOption,
    folder: KeysOption,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Publish a proposal that enough keys have signed. Edges follow by themselves.

    New keys of snapshot and timestamp must be in the origin's own folder by then, as ROLE.key or ROLE.key.new.
    """
    from vmimage.ceremony import parse_proposal

    _publish(parse_proposal(_read(file)), origin, folder, token_file, plain_http)


@keys.command()
def add(
    role: RoleArgument,
    public: Annotated[Path, typer.Argument(help="Public key, a PEM file.", metavar="PUBLIC")],
    origin: OriginOption,
    folder: KeysOption,
    threshold: ThenOption = None,
    key: KeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Let another key sign for a role, at once; in steps, where not all who must sign are here, it is `prepare`."""
    from vmimage.ceremony import Change

    changes = {role: Change((_public(public),), threshold=threshold)}
    _at_once(changes, origin, folder, key, [], token_file, plain_http)


@keys.command()
def remove(
    role: RoleArgument,
    keyid: Annotated[str, typer.Argument(help="Beginning of the key's identifier.", metavar="KEYID")],
    origin: OriginOption,
    folder: KeysOption,
    threshold: ThenOption = None,
    key: KeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Let a key sign for a role no more, at once. What a stolen online key had signed, edges forget."""
    from vmimage.ceremony import Change

    changes = {role: Change(remove=(keyid,), threshold=threshold)}
    _at_once(changes, origin, folder, key, [], token_file, plain_http)


@keys.command()
def rotate(
    role: RoleArgument,
    origin: OriginOption,
    folder: KeysOption,
    key: KeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Put a new key in the place of ROLE.key in the key folder, at once. Other keys of the role stay.

    For snapshot and timestamp run it where the origin's own folder is, or copy ROLE.key.new there first.
    """
    from origin.keys import load_signer, new_signer
    from vmimage.ceremony import Change
    from vmimage.trust import KEY_ROLES

    if role not in KEY_ROLES:
        raise PublisherError(f"a role of {', '.join(KEY_ROLES)} expected, got {role!r}: name one of these")
    old, made = load_signer(folder, role), new_signer(folder, role)
    changes = {role: Change((made.public_key,), (old.public_key.keyid,))}
    _at_once(changes, origin, folder, key, [made], token_file, plain_http, replaced=role)
    typer.echo(f"{folder / f'{role}.key'}: a new key; the one before is {role}.key.old", err=True)


def _at_once(
    changes: Mapping[str, Change],
    origin: str,
    folder: Path,
    key: Sequence[str] | None,
    made: Sequence[Signer],
    token_file: Path | None,
    plain_http: bool,
    *,
    replaced: str = "",
) -> None:
    from origin.keys import load_top
    from origin.publish.client import carry_out
    from origin.publish.keys import prepare as preparing
    from vmimage.ceremony import sign_proposal

    proposal = carry_out(preparing(*load_top(folder), changes, datetime.now(UTC)), url=origin)
    sign_proposal(proposal, [*_signers(proposal, folder, key), *made])
    _publish(proposal, origin, folder, token_file, plain_http, replaced)


def _publish(
    proposal: Proposal, origin: str, folder: Path, token_file: Path | None, plain_http: bool, replaced: str = ""
) -> None:
    from origin.keys import TOKEN_FILE, load_signer, load_token, load_top, settle
    from origin.publish.client import carry_out
    from origin.publish.keys import submit
    from vmimage.ceremony import bin_keys

    root, targets = load_top(folder)
    wanted = bin_keys(proposal)
    publisher = load_signer(folder, "publisher", wanted) if (folder / "publisher.key").exists() else None
    exchange = submit(proposal, root, targets, publisher, datetime.now(UTC))
    token = load_token(token_file or folder / TOKEN_FILE)
    done = carry_out(exchange, url=origin, token=token, plain_http=plain_http)
    settle(folder, [root, *done.roots], done.targets, [replaced] if replaced else [])
    for line in done.lines:
        typer.echo(line)


def _signers(proposal: Proposal, folder: Path | None, key: Sequence[str] | None) -> list[Signer]:
    from origin.keys import folder_signers
    from origin.model.signers import signer
    from vmimage.ceremony import public_keys

    found: list[Signer] = [each for role in ("root", "targets") if folder for each in folder_signers(folder, role)]
    return found + [signer(source, public_keys(proposal)) for source in key or ()]


def _show(proposal: Proposal) -> None:
    from vmimage.ceremony import described, missing

    for line in described(proposal):
        typer.echo(plain(line))
    for line in missing(proposal) or ["it can be published: nunatak keys publish"]:
        typer.echo(plain(line), err=True)


def _changes(
    add: Sequence[str] | None, remove: Sequence[str] | None, threshold: Sequence[str] | None
) -> dict[str, Change]:
    from vmimage.ceremony import Change

    added, removed = _pairs("--add", "FILE", add), _pairs("--remove", "KEYID", remove)
    thresholds = _pairs("--threshold", "N", threshold)
    if wrong := [number for _, number in thresholds if not number.isdigit()]:
        raise PublisherError(f"--threshold: ROLE=N expected, got {wrong[0]!r}")
    if not (added or removed or thresholds):
        raise PublisherError("--add, --remove or --threshold expected, got none of them: say what shall change")
    of = dict(thresholds)
    return {
        role: Change(
            tuple(_public(Path(path)) for each, path in added if each == role),
            tuple(keyid for each, keyid in removed if each == role),
            int(of[role]) if role in of else None,
        )
        for role in {each for each, _ in (*added, *removed, *thresholds)}
    }


def _pairs(option: str, value: str, texts: Sequence[str] | None) -> list[tuple[str, str]]:
    pairs = []
    for text in texts or ():
        role, _, said = text.partition("=")
        if not said:
            raise PublisherError(f"{option}: ROLE={value} expected, got {text!r}: write it so")
        pairs.append((role, said))
    return pairs


def _public(path: Path) -> Key:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    try:
        return SSlibKey.from_crypto(load_pem_public_key(_read(path)))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise PublisherError(
            f"a public key in PEM expected in {path}, got something else: name what `nunatak keys new` "
            "or `nunatak keys public` printed"
        ) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PublisherError(f"a file expected at {path}: {error.strerror}: name another") from None
