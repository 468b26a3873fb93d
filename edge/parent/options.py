"""A parent's configuration: one frozen dataclass, read and told as an edge's is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from edge.config.places import host_port, is_address, socket_path
from edge.config.sources import REGISTRY_AUTH, Place, parse_places
from edge.config.token_files import admin_token
from vmimage.errors import OperatorError
from vmimage.manifest import BLOB_MAX
from vmimage.options import About, Option, options_of
from vmimage.settings import Problem, Settings
from vmimage.toml_file import BYTES_MAX

ENVIRONMENT: Final = "NUNATAK_PARENT_"
ENVIRONMENT_OTHERS: Final = ("CONFIG", "VERBOSE")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentConfig:
    """Everything an operator can say to a parent. Bytes and seconds throughout."""

    source: Annotated[
        str,
        About(
            "Where blobs and the catalogue come from: an origin or another parent (URL), an OCI registry "
            "(oci+URL/REPOSITORY, blobs only), or files as an origin keeps them (files+URL). May be given several "
            "times; asked in that order.",
            form="URL|oci+URL|files+URL",
            many="words",
        ),
    ]
    cache: Annotated[Path, About("Folder for what was fetched.", form="FOLDER")]
    listen: Annotated[
        str, About("Where edges and other parents ask; port 0 takes a free one.", form="ADDRESS:PORT")
    ] = "127.0.0.1:8090"
    admin_listen: Annotated[
        str,
        About(
            "Where metrics and health are: a Unix socket, whose path may begin in the cache folder, or an address, "
            "which needs admin_token.",
            form="unix:PATH|ADDRESS:PORT",
        ),
    ] = "unix:admin.sock"
    admin_token: Annotated[
        str,
        About(
            "File of mode 0600 with the token that pages on an address ask for.",
            form="FILE",
            unset="none, a Unix socket needs no token",
        ),
    ] = ""
    registry_auth: Annotated[str, REGISTRY_AUTH] = ""
    disk: Annotated[int, About("Disk space for blobs.", "bytes", 1 << 20, 1 << 44)] = 16 << 30
    metadata_disk: Annotated[int, About("Disk space for files of the catalogue.", "bytes", 1 << 20, 1 << 40)] = (
        256 << 20
    )
    memory: Annotated[
        int,
        About(
            "Memory for blobs that are being fetched, sent, or were lately; a larger blob is refused.",
            "bytes",
            BLOB_MAX // 64,
            1 << 40,
        ),
    ] = 2 * BLOB_MAX
    connections: Annotated[int, About("Number of connections at once.", "", 1, 1 << 20)] = 4096
    origin_timeout: Annotated[float, About("Longest wait for one blob or file of the sources.", "s", 0.1, 600)] = 10
    negative: Annotated[float, About("How long it is remembered that no source has something.", "s", 0, 60)] = 1
    stale: Annotated[
        float,
        About(
            "For how long the last timestamp of the catalogue is given out while no source gives one. Edges judge "
            "themselves whether it has expired.",
            "s",
            0,
            1 << 30,
        ),
    ] = 86400

    @property
    def places(self) -> tuple[Place, ...]:
        """`source`, parsed."""
        return parse_places("", self.source)

    @property
    def address(self) -> tuple[str, int]:
        """`listen`, parsed."""
        return host_port(self.listen)

    @property
    def admin_address(self) -> Path | tuple[str, int]:
        """`admin_listen`: a Unix socket's path, or host and port."""
        if self.admin_listen.startswith("unix:"):
            return self.cache / socket_path("admin_listen", self.admin_listen)
        return host_port(self.admin_listen)

    @property
    def admin_secret(self) -> str:
        """What `admin_token` holds; empty on a Unix socket, whose file's mode is the lock.

        :raises OperatorError: no such file, readable by others, or no token in it.
        """
        return "" if isinstance(self.admin_address, Path) else admin_token(self.admin_token)


def parent_options() -> tuple[Option, ...]:
    """The fields of `ParentConfig`, those that must be given before the others."""
    return tuple(sorted(options_of(ParentConfig), key=lambda option: not option.required))


def load_parent_config(file: Path | None, given: Mapping[str, str], environment: Mapping[str, str]) -> ParentConfig:
    """A parent's configuration from a TOML file, the environment, and the command line, which wins.

    :param given: option name to text, of those that were given.
    :raises OperatorError: a line for each mistake, with the place it was made in.
    """
    settings = Settings(parent_options(), {})
    if file is not None:
        try:
            with file.open("rb") as opened:
                settings.take_file(str(file), opened.read(BYTES_MAX + 1))
        except OSError as error:
            raise OperatorError(
                f"configuration: a file expected at {file}: {error.strerror or error}: name another --config"
            ) from None
    settings.take_environment(ENVIRONMENT, environment, ENVIRONMENT_OTHERS)
    settings.take_line(given)
    return settings.make(ParentConfig, _problems)


def _problems(config: ParentConfig) -> Iterator[Problem]:
    """What no option can say for itself."""
    try:
        parse_places("", config.source)
    except ValueError as error:
        yield "source", str(error)
    if not is_address(config.listen):
        yield "listen", f"ADDRESS:PORT ([ADDRESS]:PORT for IPv6) expected, got {config.listen!r}"
    if not config.admin_listen.startswith("unix:") and not is_address(config.admin_listen):
        yield "admin_listen", f"unix:PATH or ADDRESS:PORT expected, got {config.admin_listen!r}"
    elif not config.admin_listen.startswith("unix:") and not config.admin_token:
        yield "admin_token", f"a file with a token expected for pages on {config.admin_listen}"
