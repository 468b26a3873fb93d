"""The client that TUF's conformance suite judges: what an edge follows an origin with, behind the suite's commands.

    python -m tests.tuf_suite.client --metadata-dir DIR [...] init ROOT | refresh | download

`NUNATAK_TUF_LEVEL` says how deep it goes. `updater`: python-tuf's client as `Catalogue` sets it up, with its fetcher,
limits and folder. `catalogue`: `Catalogue.refresh` and `find_service`, for repositories as `delegations.py` makes them;
there it also ends with status 2 where a refresh that failed has changed what is believed, or where one that went well
has left another state believed than the one that was verified. The suite reads what is trusted in the metadata folder.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import Final
from urllib.parse import quote, urljoin
from urllib.request import urlopen

from edge.catalogue.catalogue import Catalogue
from edge.catalogue.metadata import FILE_TIMEOUT_S, LIMITS, READ_TIMEOUT_S, Fetcher, FollowingUpdater
from tests.tuf_suite.names import service_name
from vmimage.errors import VerificationError

LEVEL: Final = "NUNATAK_TUF_LEVEL"
TOP: Final = ("timestamp", "snapshot", "targets")
_ROOT: Final = ".trusted"
_OWN: Final = ".edge"  # the catalogue's folder


def main() -> int:
    """The exit status: 0, 1 as the suite wants it for a refusal, 2 for a view that is not what it should be."""
    parser = argparse.ArgumentParser()
    for option in ("--metadata-url", "--metadata-dir", "--target-dir", "--target-base-url"):
        parser.add_argument(option)
    parser.add_argument("--target-name", action="append", default=[])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("root", type=Path)
    commands.add_parser("refresh")
    commands.add_parser("download")
    asked = parser.parse_args()
    folder = Path(asked.metadata_dir)
    if asked.command == "init":
        for name in ("root.json", _ROOT):
            shutil.copyfile(asked.root, folder / name)
        return 0
    return _judged(asked, folder) if os.environ[LEVEL] == "catalogue" else _followed(asked, folder)


def _followed(asked: argparse.Namespace, folder: Path) -> int:
    tuf, fetcher = folder / _OWN / "tuf", Fetcher(READ_TIMEOUT_S, FILE_TIMEOUT_S)
    tuf.mkdir(parents=True, exist_ok=True)
    try:
        root = (folder / _ROOT).read_bytes()
        updater = FollowingUpdater({}, _raise, None, str(tuf), asked.metadata_url, fetcher, LIMITS, root)
        updater.target_dir = asked.target_dir
        updater.refresh()
        for name in asked.target_name:
            found = updater.get_targetinfo(name)
            if found is None:
                raise VerificationError(f"a target {name} expected")
            if updater.find_cached_target(found) is None:
                updater.download_target(found, target_base_url=asked.target_base_url)
    except Exception:
        traceback.print_exc()
        return 1
    finally:
        _show(folder)
    return 0


def _raise(error: OSError) -> None:
    raise error


def _judged(asked: argparse.Namespace, folder: Path) -> int:
    before = _believed(folder)
    try:
        catalogue = Catalogue(folder / _OWN, asked.metadata_url, (folder / _ROOT).read_bytes())
        try:
            catalogue.refresh()
        except Exception:
            if _believed(folder) != before:
                print("a refresh that failed has changed what is believed", file=sys.stderr)
                return 2
            raise
        if _believed(folder) != {role: (folder / _OWN / "tuf" / f"{role}.json").read_text() for role in TOP}:
            print("what was verified is not what is believed", file=sys.stderr)
            return 2
        for name in asked.target_name:
            _download(catalogue, name, asked.target_base_url, Path(asked.target_dir))
    except Exception:
        traceback.print_exc()
        return 1
    finally:
        _show(folder)
    return 0


def _download(catalogue: Catalogue, name: str, base: str, folder: Path) -> None:
    """What a service's record names, as an edge fetches an image: by its digest, to no more bytes than it says."""
    record = catalogue.find_service(service_name(name))
    if record is None:
        raise VerificationError(f"a service for {name} expected")
    digest, place = record.manifest_digest.removeprefix("sha256:"), folder / quote(name, "")
    if place.exists() and hashlib.sha256(place.read_bytes()).hexdigest() == digest:
        return
    parent, slash, file = name.rpartition("/")
    with urlopen(urljoin(base.rstrip("/") + "/", f"{parent}{slash}{digest}.{file}")) as answer:
        data = answer.read(record.manifest_size + 1)
    if len(data) != record.manifest_size or hashlib.sha256(data).hexdigest() != digest:
        raise VerificationError(f"{name}: {record.manifest_digest} expected")
    place.write_bytes(data)


def _believed(folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads((folder / _OWN / "catalogue.json").read_bytes()))
    except FileNotFoundError:
        return {}


def _show(folder: Path) -> None:
    """Lay what is trusted where the suite looks: top-level roles and those below them."""
    for file in (folder / _OWN / "tuf").glob("*.json"):
        shutil.copyfile(file, folder / file.name)
    for role in TOP:
        if not (folder / _OWN / "tuf" / f"{role}.json").exists():
            (folder / f"{role}.json").unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
