"""The command `nunatak prune`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from origin.commands.shared import JsonOption, KeysOption, OriginOption, PlainOption, TokenOption, load_upload_token


def prune(
    origin: OriginOption,
    keys: KeysOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing, and say what would go.")] = False,
    grace_hours: Annotated[
        int,
        typer.Option(min=1, max=87_600, help="Keep what was pushed or asked for so shortly before.", metavar="HOURS"),
    ] = 24,
    keep: Annotated[
        int, typer.Option(min=1, max=10, help="Keep the images of so many earlier versions.", metavar="VERSIONS")
    ] = 10,
    withdrawn_days: Annotated[
        int,
        typer.Option(
            min=1, max=3650, help="Keep images and logs of services that are withdrawn for so long.", metavar="DAYS"
        ),
    ] = 30,
    as_json: JsonOption = False,
    token_file: TokenOption = None,
    plain_http: PlainOption = False,
) -> None:
    """Remove from an origin, while it runs, what no service needs: images, disks and other content, with their blobs.

    Kept are what services are, their earlier versions, what is tagged, and what was pushed a while ago at most. Needs
    the operator's token.
    """
    from rich.filesize import decimal

    from origin.publish.audit import prune as pruning
    from origin.publish.client import carry_out

    rules: dict[str, int | bool] = {
        "dry_run": dry_run,
        "grace_s": grace_hours * 3600,
        "keep": keep,
        "withdrawn_s": withdrawn_days * 86_400,
    }
    token = load_upload_token(keys, token_file)
    result = carry_out(pruning(rules), url=origin, token=token, plain_http=plain_http)
    if as_json:
        typer.echo(json.dumps(result, indent=1))
        return
    goes = "would go" if dry_run else "gone"
    freed = decimal(result["freed_bytes"])
    typer.echo(f"{goes}: {result['manifests']} manifests, {result['blobs']} blobs, {freed}")
    if result["logs"]:
        typer.echo(f"{goes}: logs of {', '.join(result['logs'])}")
    typer.echo(f"kept: {result['kept_manifests']} manifests, {result['kept_blobs']} blobs")
