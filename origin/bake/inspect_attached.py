"""What an image file says of where its image comes from and what it is made of, for people and as plain data."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vmimage.attached import CYCLONEDX_TYPE, IN_TOTO_TYPE, Attached
from vmimage.errors import PublisherError, VerificationError
from vmimage.provenance import parse_provenance
from vmimage.text import plain


def describe_attached(attached: Iterable[tuple[Attached, bytes]]) -> dict[str, Any]:
    """The statement as "provenance" and the bill as "bill_of_materials", None where the file has none.

    :raises PublisherError: one of them is malformed.
    """
    found: dict[str, Any] = {"provenance": None, "bill_of_materials": None}
    for each, data in attached:
        try:
            if each.kind == IN_TOTO_TYPE:
                parse_provenance(data)
                found["provenance"] = json.loads(data)
            elif each.kind == CYCLONEDX_TYPE:
                found["bill_of_materials"] = json.loads(data)
        except (VerificationError, ValueError, RecursionError) as error:
            raise PublisherError(f"a file of `nunatak build` expected: {error}: build it anew") from None
    return found


def render_attached(about: Mapping[str, Any]) -> None:
    """Print it."""
    console = Console()
    statement, bill = about["provenance"], about["bill_of_materials"]
    if statement is not None:
        definition = statement["predicate"]["buildDefinition"]
        console.print(_table("provenance, to be signed when it is published", definition["externalParameters"].items()))
        materials = ((each["name"], each["digest"]["sha256"]) for each in definition["resolvedDependencies"])
        console.print(_table("made of", materials))
    components = bill.get("components", []) if isinstance(bill, dict) else []
    if components:
        rows = ((each.get("name", ""), each.get("version", "")) for each in components)
        console.print(_table("bill of materials", rows))


def _table(title: str, rows: Iterable[tuple[object, object]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(escape(plain(str(name))), escape(plain(str(value))))
    return table
