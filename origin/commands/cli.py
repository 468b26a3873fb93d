"""The commands of publishers and of origins' operators. Each prints its result on stdout and its progress on stderr."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from origin.commands.run_cli import run
from origin.commands.token_cli import token
from origin.commands.world_cli import world
from vmimage.errors import OperatorError, PublisherError

if TYPE_CHECKING:  # imported in the commands that need them: `nunatak --help` stays quick
    from origin.publish.publish import Exchange
    from origin.publish.written import Choice
    from vmimage.trust import Trust


app = typer.Typer()
app.add_typer(token, name="token")
app.command(context_settings={"ignore_unknown_options": True})(run)
app.command()(world)

KeysOption = Annotated[
    Path, typer.Option("--keys", envvar="NUNATAK_KEYS", help="Key folder that `nunatak keygen` made.", metavar="DIR")
]
OriginOption = Annotated[
    str, typer.Option("--origin", envvar="NUNATAK_ORIGIN", help="URL of the origin.", metavar="URL")
]
TokenOption = Annotated[
    Path | None, typer.Option("--token-file", help="File with the upload token; KEYS/token if not given.")
]
WrittenOption = Annotated[
    str | None,
    typer.Option(
        help="Where a copy-on-write disk has another base than before: keep what services wrote on edges, on top of "
        "the new one, or drop it.",
        metavar="keep|drop",
    ),
]
PlainOption = Annotated[
    bool,
    typer.Option("--plain-http", envvar="NUNATAK_PLAIN_HTTP", help="Send the token also by http to another machine."),
]


@app.command()
def keygen(folder: Annotated[Path, typer.Argument(help="New folder for the keys.", metavar="DIR")]) -> None:
    """Make a key folder: five Ed25519 keys, the trust root for edges, and an upload token."""
    from origin.model import keys

    keys.generate(folder, _now())
    typer.echo(f"{folder / keys.ROOT_FILE}: give this to edges (--trust)")
    typer.echo(f"{folder / 'root.key'}, {folder / 'targets.key'}: keep these offline")


@app.command()
def origin(
    store: Annotated[Path, typer.Option(help="Folder for images and catalogue; made if missing.", metavar="DIR")],
    keys: KeysOption,
    listen: Annotated[str, typer.Option(help="Where to listen; port 0 takes a free one.", metavar="ADDR:PORT")] = (
        "127.0.0.1:8700"
    ),
    token_file: TokenOption = None,
    timestamp_minutes: Annotated[
        int, typer.Option(min=1, max=10080, help="How long edges trust a catalogue that is not renewed.")
    ] = 60,
) -> None:
    """Serve images (OCI distribution) and the signed catalogue (TUF) to edges, and take uploads from publishers.

    SIGTERM and Ctrl-C let requests under way finish, then leave. SIGHUP reads the tokens' files again.
    """
    import asyncio
    import logging
    import signal
    from datetime import timedelta

    import uvloop

    from origin.model.keys import LOG_TOKEN_FILE, load_metadata, load_signer, load_token
    from origin.model.tokens import TOKENS_FILE, Tokens
    from origin.registry.logs import Logs
    from origin.registry.roles import Online
    from origin.registry.server import Origin, serve
    from origin.registry.store import Store

    def shared_tokens() -> tuple[str, str | None]:
        log_file = keys / LOG_TOKEN_FILE
        return _token(keys, token_file), load_token(log_file) if log_file.exists() else None

    host, port = _parse_listen(listen)
    token, log_token = shared_tokens()
    online = Online(load_signer(keys, "snapshot"), load_signer(keys, "timestamp"), timedelta(minutes=timestamp_minutes))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    os.umask(0o077)  # images wait for no other user here, and logs of tenants even less
    kept = Store(store)
    tokens = Tokens(keys / TOKENS_FILE)
    logs = Logs(store / "logs", log_token, tokens)
    site = Origin(kept, load_metadata(keys), online, token=token, logs=logs, tokens=tokens)

    def reload() -> None:
        try:
            site.change_tokens(*shared_tokens())
            logging.info("the tokens were read again")
        except OperatorError as error:
            logging.error("the tokens stay as they were: %s", error)

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(site, host, port, lambda url: print(f"nunatak origin ready on {url}", flush=True), stop)

    uvloop.run(run())


@app.command()
def publish(
    origin: OriginOption,
    keys: KeysOption,
    image: Annotated[Path | None, typer.Argument(help="Image file of `nunatak build`.", metavar="IMAGE")] = None,
    service: Annotated[str | None, typer.Option(help="Name of the service.")] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="Host name it answers for, in place of those it has; may be repeated.")
    ] = None,
    disk: Annotated[
        list[Path] | None,
        typer.Option(help="Disk file that the image names, unless the origin has it; may be repeated.", metavar="DISK"),
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            help='Many at once: a file of JSON lines {"image": path, "service": name, "hosts": [...]}, also "tenant".'
        ),
    ] = None,
    tenant: Annotated[
        str, typer.Option(help="Who shares CPU time and workers with it; itself alone if never given.", metavar="NAME")
    ] = "",
    written: WrittenOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Make an image what a service is, from now on. Stopped at any instant, the old version stays served."""
    from dataclasses import replace

    from origin.model.keys import load_signer, load_trust
    from origin.publish import publish as publishing
    from origin.publish.image_files import publication, read_batch, read_image
    from vmimage.manifest import is_name

    if batch is not None:
        if image is not None or service is not None or host:
            raise PublisherError("either --batch or IMAGE with --service and --host expected, got both")
        publications = read_batch(batch)
    elif image is None or service is None:
        raise PublisherError("IMAGE with --service, or --batch, expected")
    else:
        publications = [publication(image, read_image(image), service, host or [], disk or [])]
    if tenant:
        if not is_name(tenant):
            raise PublisherError(f"--tenant: 1 to 63 of a-z 0-9 . _ - expected, got {tenant!r}")
        publications = [replace(each, tenant=tenant) for each in publications]
    choice, signer = _choice(written), load_signer(keys, "publisher")
    _carry_out(
        lambda trust: publishing.publish(publications, trust, signer, _now(), choice),
        load_trust(keys),
        origin,
        keys,
        token_file,
        plain_http,
    )


@app.command()
def rollback(
    service: Annotated[str, typer.Option(help="Name of the service.")],
    origin: OriginOption,
    keys: KeysOption,
    to: Annotated[
        int | None,
        typer.Option(min=1, help="Version to go back to; if not given, the one before, so twice changes nothing."),
    ] = None,
    written: WrittenOption = None,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Make an earlier image what a service is, as a new version."""
    from origin.model.keys import load_signer, load_trust
    from origin.publish import publish as publishing

    choice, signer = _choice(written), load_signer(keys, "publisher")
    _carry_out(
        lambda trust: publishing.rollback(service, to, trust, signer, _now(), choice),
        load_trust(keys),
        origin,
        keys,
        token_file,
        plain_http,
    )


@app.command()
def build(
    source: Annotated[
        Path,
        typer.Argument(help="A .c or .lua file, a folder of them, or a static Linux program (ELF).", metavar="SOURCE"),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Image file to write.", metavar="IMAGE")],
    name: Annotated[str | None, typer.Option(help="Name of the image; the source's if not given.")] = None,
    env: Annotated[list[str] | None, typer.Option(help="Environment, NAME=VALUE; may be repeated.")] = None,
    memory: Annotated[str, typer.Option(help="Memory of the machine.", metavar="SIZE")] = "32MiB",
    cpu_ms: Annotated[int, typer.Option(min=1, max=60_000, help="CPU time a request may take.")] = 200,
    cpu_percent: Annotated[int, typer.Option(min=0, max=100, help="CPU time over time; 0: what is left over.")] = 0,
    log_rate: Annotated[str, typer.Option(help="Log and console output in a second.", metavar="SIZE")] = "64KiB",
    streams: Annotated[int, typer.Option(min=1, max=64, help="Requests at once in a machine.")] = 64,
    response: Annotated[str, typer.Option(help="Largest body of a response.", metavar="SIZE")] = "64MiB",
    pool: Annotated[int, typer.Option(min=1, max=64, help="Machines that may serve at once.")] = 1,
    rejuvenate: Annotated[
        str | None,
        typer.Option(help="Start anew after requests=N, hours=H, growth=SIZE, comma-separated.", metavar="CAUSES"),
    ] = None,
    disk: Annotated[
        list[str] | None,
        typer.Option(help="A disk: NAME=DISK:shared, NAME=DISK:cow, NAME=scratch[:SIZE], NAME=log; may be repeated."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Give every request a machine that has served none.")] = False,
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            help="Where it may send requests of its own, https://HOST[:PORT]; may be repeated.", metavar="URL"
        ),
    ] = None,
    linux: Annotated[
        bool, typer.Option("--linux", help="Compile C or C++ as a Linux program with musl; it calls nk_serve.")
    ] = False,
    cgi: Annotated[
        bool, typer.Option("--cgi", help="A Linux program that speaks CGI (RFC 3875), run anew for every request.")
    ] = False,
    arg: Annotated[list[str] | None, typer.Option(help="Argument of a Linux program; may be repeated.")] = None,
    files: Annotated[
        Path | None, typer.Option(help="Folder that the program finds at /, read-only.", metavar="FOLDER")
    ] = None,
    bake_entropy: Annotated[
        bool,
        typer.Option(
            "--bake-entropy", help="Random bytes while it is built: all machines share what the program makes of them."
        ),
    ] = False,
) -> None:
    """Compile a program, boot it, run it until it is ready, and keep that state as an image."""
    from rich.console import Console
    from rich.markup import escape

    from origin.bake.recipe import images_of
    from vmimage.archive import pack_archive
    from vmimage.text import plain

    console = Console(stderr=True)
    with console.status("building") as status:
        images = images_of(
            source,
            progress=lambda step: status.update(f"building: {escape(plain(step))}"),
            name=name,
            env=env,
            memory=memory,
            cpu_ms=cpu_ms,
            cpu_percent=cpu_percent,
            log_rate=log_rate,
            streams=streams,
            response=response,
            pool=pool,
            rejuvenate=rejuvenate,
            fresh=fresh,
            upstream=upstream,
            disk=disk,
            linux=linux,
            cgi=cgi,
            arg=arg,
            files=files,
            bake_entropy=bake_entropy,
            warn=lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True),
        )
    data = pack_archive(images)
    _write(output, data)
    manifest = images[-1].manifest
    typer.echo(
        f"{output}: {manifest.name} {manifest.digest}, {_size(len(data))}, service {_size(manifest.snapshot.size)}"
    )


@app.command()
def inspect(
    image: Annotated[Path, typer.Argument(help="Image file of `nunatak build`, or a parked record.", metavar="FILE")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    symbols: Annotated[int, typer.Option(min=0, help="How many of the largest symbols to show.")] = 8,
    key: Annotated[
        Path | None, typer.Option(help="An edge's key, or its cache folder: checks a parked record.")
    ] = None,
) -> None:
    """Show what an image holds: sizes, memory and its permissions, limits, symbols, base. Or a parked record."""
    from origin.bake.inspect import describe, render
    from origin.publish.image_files import read_image, read_parked

    parked = read_parked(image)
    if parked is not None:
        _inspect_parked(parked, key, as_json=as_json)
        return
    images = [describe(bundle, symbols) for bundle in read_image(image)]
    if as_json:
        typer.echo(json.dumps({"file": str(image), "bytes": image.stat().st_size, "images": images}, indent=2))
    else:
        render(images)


def _inspect_parked(data: bytes, key: Path | None, *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from origin.bake.inspect_parked import describe_parked, render_parked
    from origin.publish.image_files import read_edge_key

    about = describe_parked(data, None if key is None else read_edge_key(key), datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps(about, indent=2))
    else:
        render_parked(about)


def _carry_out(
    start: Callable[[Trust], Exchange], trust: Trust, origin: str, keys: Path, token_file: Path | None, plain_http: bool
) -> None:
    from origin.publish.client import carry_out
    from origin.publish.progress import report, upload_bar

    with upload_bar() as progress:
        token = _token(keys, token_file)
        records = carry_out(start(trust), url=origin, token=token, progress=progress, plain_http=plain_http)
    report(records)


def _choice(text: str | None) -> Choice | None:
    choices: dict[str | None, Choice | None] = {None: None, "keep": "keep", "drop": "drop"}
    if text in choices:
        return choices[text]
    raise PublisherError(f"--written: keep or drop expected, got {text!r}")


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: an interrupted build leaves the old image."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise PublisherError(f"output: a writable place expected, got {path}: {error.strerror}") from None


def _token(keys: Path, token_file: Path | None) -> str:
    from origin.model.keys import TOKEN_FILE, load_token

    return load_token(token_file or keys / TOKEN_FILE)


def _parse_listen(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise OperatorError(f"--listen: ADDR:PORT expected, got {text!r}")
    return host.strip("[]"), int(port)


def _size(size: int) -> str:
    from rich.filesize import decimal

    return decimal(size)


def _now() -> datetime:
    return datetime.now(UTC)
