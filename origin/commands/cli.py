"""The commands of publishers and of origins' operators. Each prints its result on stdout and its progress on stderr."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from origin.commands.audit_cli import audit
from origin.commands.build_cli import build, inspect
from origin.commands.config_file import ConfigOption, PrintOption, as_file, read_again
from origin.commands.fleet_cli import fleet
from origin.commands.hold_cli import hold
from origin.commands.init_cli import init
from origin.commands.keys_cli import keys as keys_app
from origin.commands.names_cli import hosts, rename, withdraw
from origin.commands.prune_cli import prune
from origin.commands.release_cli import ReleaseOption, release, start_plainly
from origin.commands.renew_cli import renew
from origin.commands.run_cli import run
from origin.commands.services_cli import services
from origin.commands.settings_cli import settings
from origin.commands.shared import (
    HostsOption,
    IssuersOption,
    KeysOption,
    OriginOption,
    PlainOption,
    RegistriesOption,
    RegistryOption,
    TenantOption,
    TokenOption,
    WithKeyOption,
    WrittenOption,
    YesOption,
    elsewhere,
    written_choice,
)
from origin.commands.signing import Signatory, now
from origin.commands.static_cli import static
from origin.commands.store_cli import store as store_app
from origin.commands.tenant_cli import tenant
from origin.commands.token_cli import token
from origin.commands.verify_cli import verify
from origin.commands.waiting import WaitOption
from origin.commands.whoami_cli import whoami
from origin.commands.world_cli import world
from vmimage.errors import OperatorError, PublisherError

if TYPE_CHECKING:  # imported in the commands that need them: `nunatak --help` stays quick
    from tuf.api.metadata import Root

    from origin.registry.roles import Online

READ_AGAIN: Final = ("token_file", "issuers")  # options of an origin that a SIGHUP changes

app = typer.Typer()
app.add_typer(token, name="token")
app.add_typer(tenant, name="tenant")
app.add_typer(keys_app, name="keys")
app.add_typer(hold, name="hold")
app.add_typer(fleet, name="fleet")
app.add_typer(release, name="release")
app.add_typer(settings, name="settings")
app.add_typer(services, name="services")
app.add_typer(store_app, name="store")
app.add_typer(hosts, name="hosts")
app.command(context_settings={"ignore_unknown_options": True})(run)
app.command()(world)
app.command()(init)
app.command()(build)
app.command()(inspect)
app.command()(static)
app.command()(renew)
app.command()(withdraw)
app.command()(rename)
app.command()(prune)
app.command()(audit)
app.command()(verify)
app.command()(whoami)


@app.command()
def keygen(
    folder: Annotated[Path, typer.Argument(help="Key folder to make.", metavar="FOLDER")],
    signers: Annotated[int, typer.Option(min=1, max=16, help="Keys of root, and of targets.", metavar="KEYS")] = 1,
    threshold: Annotated[int, typer.Option(min=1, max=16, help="How many of them sign.", metavar="KEYS")] = 1,
    bin_bits: Annotated[
        int,
        typer.Option(
            min=4,
            max=14,
            help="The catalogue has two to the power of this many bins; 12 for a million services.",
            metavar="BITS",
        ),
    ] = 8,
) -> None:
    """Make a key folder: five Ed25519 keys, the trust root for edges, an upload token and a log token."""
    from origin import keys
    from vmimage.trust import OFFLINE_ROLES

    if threshold > signers:
        raise OperatorError(f"--threshold: at most the number of --signers, {signers}, expected, got {threshold}")
    keys.generate(folder, now(), signers=signers, threshold=threshold, bin_bits=bin_bits)
    typer.echo(f"{folder / keys.ROOT_FILE}: give this to edges (--trust)")
    offline = [path for role in OFFLINE_ROLES for path in keys.folder_keys(folder, role)]
    typer.echo(f"{', '.join(map(str, offline))}: keep these offline")


@app.command()
def origin(
    context: typer.Context,
    store: Annotated[
        str,
        typer.Option(
            help="Folder for images and the catalogue, made if missing; or a bucket, which several origins may share.",
            metavar="FOLDER|s3://BUCKET/PREFIX",
        ),
    ],
    keys: KeysOption,
    listen: Annotated[
        str,
        typer.Option(
            help="Address and port to listen on, or the path of a Unix socket; port 0 takes a free one.",
            metavar="ADDRESS:PORT|unix:PATH",
        ),
    ] = "127.0.0.1:8700",
    token_file: TokenOption = None,
    timestamp_minutes: Annotated[
        int,
        typer.Option(min=1, max=10080, help="How long edges trust a catalogue that is not renewed.", metavar="MINUTES"),
    ] = 60,
    registry: RegistriesOption = None,
    issuers: IssuersOption = None,
    nats: Annotated[
        str | None,
        typer.Option(
            help="NATS server that events for edges go to as well; needs the extra nunatak[nats].",
            metavar="nats://HOST:PORT",
            show_default="none",
        ),
    ] = None,
    config: ConfigOption = None,
    print_config: PrintOption = False,
) -> None:
    """Serve images (OCI distribution) and the signed catalogue (TUF) to edges, and take uploads from publishers.

    On SIGTERM and Ctrl-C it finishes the requests in flight and ends; a second one ends it at once. On SIGHUP it reads
    its file, the files of the tokens and that of the issuers again.
    """
    import logging
    import resource
    from datetime import timedelta

    import uvloop

    from origin.commands.serving import serve_until_told
    from origin.fleet.pages import join_fleet
    from origin.keys import LOG_TOKEN_FILE, TOKEN_FILE, load_metadata, load_signer, load_token, load_token_hash
    from origin.model.tokens import TOKENS_FILE, Tokens
    from origin.registry.elsewhere import SILENCE_S
    from origin.registry.issuers import load_issuers
    from origin.registry.listening import parse_listen
    from origin.registry.log_lines import open_lines
    from origin.registry.logs import Logs
    from origin.registry.oidc import Verifier
    from origin.registry.roles import Online
    from origin.registry.server import Origin
    from origin.registry.store import Store
    from origin.storage.opening import open_store

    if print_config:
        typer.echo(as_file(context), nl=False)
        return

    def shared_tokens(token_file: Path | None) -> tuple[str | None, str | None]:
        upload = load_token_hash(token_file or keys / TOKEN_FILE)
        if upload is None and (token_file is not None or not (keys / TOKENS_FILE).exists()):
            load_token(token_file or keys / TOKEN_FILE)  # says what is missing; operators may have tokens of their own
        return upload, load_token_hash(keys / LOG_TOKEN_FILE)

    def online(root: Root) -> Online:
        snapshot, timestamp = (load_signer(keys, role, root.roles[role].keyids) for role in ("snapshot", "timestamp"))
        return Online(snapshot, timestamp, timedelta(minutes=timestamp_minutes))

    def verifier(file: Path | None) -> Verifier | None:
        return Verifier(load_issuers(file)) if file is not None else None

    allowed = [each for text in registry or () if (each := elsewhere(text, SILENCE_S)) is not None]
    words = sys.argv[2:]  # for `read_again`
    host, port = parse_listen(listen)
    token, log_token = shared_tokens(token_file)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # a connection each, and uploads
    os.umask(0o077)  # images wait for no other user here, and logs of tenants even less
    kept = Store(open_store(store))
    tokens = Tokens(keys / TOKENS_FILE)
    logs = Logs(open_lines(kept, None if kept.shared else Path(store)), log_token, tokens)
    site = Origin(
        kept,
        load_metadata(keys),
        online,
        token=token,
        logs=logs,
        tokens=tokens,
        verifier=verifier(issuers),
        registries=allowed,
    )
    join_fleet(site, kept.blobs, tokens, nats or "")

    def reload() -> None:
        try:
            said = read_again(context, words)
            file, table = (Path(said[name]) if said[name] else None for name in ("token_file", "issuers"))
            site.change_tokens(*shared_tokens(file), verifier(table))
            logging.info("the tokens were read again")
        except OperatorError as error:
            logging.error("the tokens stay as they were: %s", error)
            return
        if waiting := [
            name for name, value in said.items() if value != context.params[name] and name not in READ_AGAIN
        ]:
            logging.warning("a restart is needed for %s", ", ".join(waiting))

    def announce(url: str) -> None:
        _announce(f"nunatak origin ready on {url}")

    uvloop.run(serve_until_told(site, host, port, reload, announce))


@app.command()
def publish(
    origin: OriginOption,
    keys: KeysOption,
    image: Annotated[
        Path | None,
        typer.Argument(help="Image file of `nunatak build`.", metavar="IMAGE", show_default="none, see --batch"),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(help="Name of the service, which goes with IMAGE.", metavar="NAME", show_default="none"),
    ] = None,
    host: HostsOption = None,
    disk: Annotated[
        list[Path] | None,
        typer.Option(
            help="Disk file that the image names and the origin does not have yet; may be repeated.",
            metavar="DISK",
            show_default="none",
        ),
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            help="File that publishes many services at once, a JSON object in each line with the keys image (a path), "
            "service (a name), hosts (a list) and, if wanted, tenant.",
            metavar="FILE",
            show_default="none",
        ),
    ] = None,
    tenant: TenantOption = "",
    written: WrittenOption = None,
    registry: RegistryOption = None,
    with_key: WithKeyOption = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Have all of it checked, here and by the origin, as if it were published; change nothing."
        ),
    ] = False,
    percent: ReleaseOption = None,
    wait: WaitOption = None,
    yes: YesOption = False,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Publish an image as the new version of a service.

    Edges serve the version before until everything of the new one is at the origin, also if this is interrupted.
    """
    from dataclasses import replace

    from origin.publish import publish as publishing
    from origin.publish.image_files import publication, read_attachments, read_batch, read_image
    from origin.publish.progress import report
    from vmimage.manifest import is_name

    signatory = Signatory(origin, keys, with_key, token_file, plain_http)
    if percent is not None:
        others = (batch, host, disk, tenant, written, registry, dry_run)
        start_plainly(percent, image, service, others, signatory, wait)
        return
    if batch is not None:
        if image is not None or service is not None or host:
            raise PublisherError("either --batch or IMAGE with --service and --host expected, got both: leave one away")
        publications = read_batch(batch)
    elif image is None or service is None:
        raise PublisherError("IMAGE with --service, or --batch, expected: name the image file and its service")
    else:
        attached = read_attachments(image)
        publications = [publication(image, read_image(image), service, host or [], disk or [], attached)]
    if tenant:
        if not is_name(tenant):
            raise PublisherError(f"--tenant: 1 to 63 of a-z 0-9 . _ - expected, got {tenant!r}")
        publications = [replace(each, tenant=tenant) for each in publications]
    by, choice = signatory.publisher(), written_choice(written)
    exchange = publishing.publish(publications, by.trust, by.signer, by.now, choice, by.warn, dry_run=dry_run, sure=yes)
    report(signatory.carry_out(exchange, registry=elsewhere(registry)))
    if dry_run:
        typer.echo("a dry run: nothing was changed", err=True)
        return
    signatory.wait(wait)


@app.command()
def rollback(
    service: Annotated[str, typer.Option(help="Name of the service.", metavar="NAME")],
    origin: OriginOption,
    keys: KeysOption,
    to: Annotated[
        int | None,
        typer.Option(
            min=1, help="Version to go back to.", metavar="VERSION", show_default="the one before the current version"
        ),
    ] = None,
    written: WrittenOption = None,
    registry: RegistryOption = None,
    with_key: WithKeyOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Publish an earlier image of a service again, as a new version."""
    from origin.publish import publish as publishing
    from origin.publish.progress import report

    signatory = Signatory(origin, keys, with_key, token_file, plain_http)
    by, choice = signatory.publisher(), written_choice(written)
    exchange = publishing.rollback(service, to, by.trust, by.signer, by.now, choice, by.warn)
    report(signatory.carry_out(exchange, registry=elsewhere(registry)))


def _announce(text: str) -> None:
    with suppress(OSError, ValueError):  # nobody reads it any more
        print(text, flush=True)
