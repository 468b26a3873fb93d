"""Tables of the base image say what the packages say, though they are written shorter.

`packed.py`, `intl_data.py` and `collation.py` write them, and scripts in `lazy/` read them.
"""

import json
import re
from bisect import bisect_right
from typing import Any

import pytest

from libos.runtimes.js.intl_data import CANONICAL, DATE, HOUR_S
from libos.runtimes.js.web_packages import IDNA
from libos.toolchain.packages import source_tree
from tests.support.workers import WORKERS, RestingWorker, worker_image

SAMPLE = 211  # one of so many rows: some ten to thirty


@pytest.fixture(scope="module")
def worker() -> RestingWorker:
    return RestingWorker(worker_image(WORKERS / "tables.js"), cpu_ms=120_000)


def told(worker: RestingWorker, act: str, asked: object) -> Any:
    answer = worker.get("/", method="POST", body=json.dumps([act, asked]).encode())
    return json.loads(bytes(answer.body))


def test_names_of_hosts_are_mapped_as_the_table_of_uts_46_says(worker: RestingWorker) -> None:
    table = json.loads((source_tree(IDNA[0]) / "lib" / "mappingTable.json").read_text("utf-8"))
    plain = re.compile(r"[a-z0-9]+")
    mapped = [(row[0], row[2]) for row in table if row[1] == 1 and plain.fullmatch(row[2]) and isinstance(row[0], int)]
    ranges = [
        (row[0][1], row[2]) for row in table if row[1] == 1 and plain.fullmatch(row[2]) and isinstance(row[0], list)
    ]
    disallowed = [(row[0][1], "") for row in table if row[1] == 3 and isinstance(row[0], list) and row[0][0] > 0xFFFF]
    rows = [*mapped[::47], mapped[-1], *ranges[:3], *disallowed[::SAMPLE]]
    expected = [f"a{text}.test" if text else "TypeError" for _, text in rows]
    assert len(mapped) > 1000
    assert told(worker, "hosts", [chr(code) for code, _ in rows]) == expected


def test_time_zones_have_the_offsets_of_their_rows(worker: RestingWorker) -> None:
    text = (source_tree(DATE) / "add-all-tz.js").read_text("utf-8")
    data = json.loads(text[text.index("__addTZData(") + len("__addTZData(") : text.rindex("})") + 1])
    offsets = [int(offset, 36) for offset in data["offsets"].split("|")]
    asked: list[tuple[str, int]] = []
    expected: list[int] = []
    for number, packed_zone in enumerate(data["zones"][::29]):
        zone, *rows = packed_zone.split("|")
        changes = [row.split(",") for row in rows if not row.startswith("NaN")]
        times = [int(since, 36) if since else -(2**40) for since, *_ in changes]
        at = times[1 + number * 7 % (len(times) - 1)] + HOUR_S if len(times) > 1 else 0
        asked.append((zone, at))
        expected.append(offsets[int(changes[bisect_right(times, at) - 1][2])])
    assert len({zone for zone, at in asked if at}) > 8
    assert told(worker, "offsets", asked) == expected


def test_languages_have_their_likely_scripts_and_regions(worker: RestingWorker) -> None:
    script = (source_tree(CANONICAL) / "index.js").read_text("utf-8")
    found = re.search(r"^const likelySubtags = (\{.*?^\});$", script, re.MULTILINE | re.DOTALL)
    assert found is not None
    likely = {tag: full for tag, full in json.loads(found[1]).items() if "-" not in tag}
    tags = [*list(likely)[::SAMPLE], "zza", "en", "zh"]
    assert told(worker, "tags", tags) == [likely[tag] for tag in tags]


def test_words_are_in_the_order_of_their_weights(worker: RestingWorker) -> None:
    words = [
        "\u00c6on",
        "zebra",
        "\u00e9t\u00e9",
        "eta",
        "ete",
        "10",
        "9",
        "-",
        "\u20ac",
        "\u03b1",
        "\u0436",
        "\u05d0",
        "Zebra",
        "\u3042",
    ]
    in_order = [
        "-",
        "\u20ac",
        "10",
        "9",
        "\u00c6on",
        "eta",
        "ete",
        "\u00e9t\u00e9",
        "zebra",
        "Zebra",
        "\u03b1",
        "\u0436",
        "\u05d0",
        "\u3042",
    ]
    assert told(worker, "sorted", words) == in_order
