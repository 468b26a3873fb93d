"""Reading an origin's catalogue as far as some names need it: the snapshot, bins, and files of tenants, verified.

Decisions without I/O, as `origin.publish.publish`.
"""

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from typing import Final

from tuf.api.metadata import MetaFile, Snapshot, Targets

from origin.model.exchange import TIMESTAMP_FILE, Request, Response, expect
from vmimage.tenancy import Book, verify_tenant
from vmimage.tenants import holder, tenant_of, tenant_path, tenant_role
from vmimage.trust import Trust

Meta = Mapping[str, MetaFile]
Known = dict[str, Targets]  # roles by file, which never changes
ReadSnapshot = Generator[Sequence[Request], Sequence[Response], Snapshot]
ReadBook = Generator[Sequence[Request], Sequence[Response], Book]
ReadRoles = Generator[Sequence[Request], Sequence[Response], dict[str, Targets]]

GROUP: Final = 32  # files that are read at once


def read_snapshot(trust: Trust) -> ReadSnapshot:
    """The origin's present snapshot: it says what each role's file is."""
    [response] = yield [Request("GET", f"/tuf/{TIMESTAMP_FILE}")]
    expect(response, 200, "timestamp")
    version = trust.verify_timestamp(response.body).snapshot_meta.version
    [response] = yield [Request("GET", f"/tuf/{version}.snapshot.json")]
    expect(response, 200, "snapshot")
    return trust.verify_snapshot(response.body)


def read_book(
    trust: Trust, meta: Meta, paths: Iterable[str], tenants: Iterable[str] = (), known: Known | None = None
) -> ReadBook:
    """What the catalogue says of these paths, and whose they are.

    :param tenants: whose keys and files are wanted whatever the paths are.
    :param known: roles that were read before; those that are read now are added.
    """
    known = {} if known is None else known

    def role(name: str) -> Targets | None:
        return known.get(file_of(name, meta))

    book, paths = Book(trust, role), list(paths)
    yield from _read(trust, meta, {trust.bin_of(path) for path in paths}, known)
    theirs = {*tenants, *(tenant for path in paths if (tenant := holder(path, book.entry(path))) is not None)}
    yield from _read(trust, meta, {trust.bin_of(tenant_path(tenant)) for tenant in theirs}, known)
    delegated = {tenant_role(tenant) for tenant in theirs if book.delegation(tenant) is not None}
    yield from _read(trust, meta, delegated, known)
    return book


def read_all(trust: Trust, meta: Meta) -> ReadBook:
    """The same of all paths that there are.

    :return: a book whose roles are all here.
    """
    known: Known = {}
    names = [name.removesuffix(".json") for name in meta]
    yield from _read(trust, meta, filter(trust.is_bin, names), known)
    book = Book(trust, lambda role: known.get(file_of(role, meta)))
    tenants = (tenant for name in names if (tenant := tenant_of(name)) is not None)
    yield from _read(trust, meta, [tenant_role(t) for t in tenants if book.delegation(t) is not None], known)
    return book


def _read(
    trust: Trust, meta: Meta, roles: Iterable[str], known: Known
) -> Generator[Sequence[Request], Sequence[Response], None]:
    """Add roles that are not known; one that does not exist yet is left out, and bins come before tenants' files."""
    asked = sorted(role for role in set(roles) if (name := file_of(role, meta)) and name not in known)
    for start in range(0, len(asked), GROUP):
        group = asked[start : start + GROUP]
        responses = yield [Request("GET", f"/tuf/{file_of(role, meta)}") for role in group]
        for role, response in zip(group, responses, strict=True):
            expect(response, 200, role)
            tenant = tenant_of(role)
            if tenant is None:
                known[file_of(role, meta)] = trust.verify_bin(role, response.body)
            else:
                bin_ = known[file_of(trust.bin_of(tenant_path(tenant)), meta)]
                known[file_of(role, meta)] = verify_tenant(bin_, tenant, response.body)


def file_of(role: str, meta: Meta) -> str:
    """Name of a role's present file, "" where there is none."""
    file = meta.get(f"{role}.json")
    return f"{file.version}.{role}.json" if file is not None else ""


def services_of(book: Book, meta: Meta) -> Collection[str]:
    """Paths of all services that a book of all paths has."""
    roles = (book.role(name.removesuffix(".json")) for name in meta)
    return {path for role in roles if role is not None for path in role.targets if path.startswith("services/")}
