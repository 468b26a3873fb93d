"""Intl of JavaScript workers and the methods that take locales.

The expected values are workerd's (ICU) for the same file, but for these: offsets of `longOffset` are short, zones that
take their winter's name from another's, and a range of hours that says PM twice.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from edge.vmm.shells.shell import Image
from libos.runtimes import LANGUAGES, js
from origin.bake.bake import Baker
from origin.bake.files import in_folders
from tests.support.guests import Guest
from vmimage.errors import PublisherError
from vmimage.manifest import DEFAULT_TERMS

WORKER = Path(__file__).parent / "workers" / "intl.js"
GERMAN = b"""
const at = new Date(Date.UTC(2026, 6, 4, 18, 5, 9));
const number = new Intl.NumberFormat("de-DE", { style: "currency", currency: "EUR" });
export default { fetch: () => Response.json([
  number.format(1234.5), number.resolvedOptions().locale,
  at.toLocaleDateString("de", { dateStyle: "full", timeZone: "UTC" }),
  new Intl.PluralRules("de").select(1), new Intl.NumberFormat("fr").format(1234.5), (1234.5).toLocaleString(),
]) };
"""


@cache
def image(source: bytes, *locales: str) -> Image:
    baker = Baker(language=next(language for language in LANGUAGES if language.name == "js"))
    files = in_folders(js.locale_files(locales))
    return baker.image(
        baker.bake_source(source, name="worker", env={}, terms=DEFAULT_TERMS, progress=print, files=files)
    )


EXPECTED: dict[str, Any] = {
    "/numbers": [
        [
            "1,234,567.891",
            "-0.5",
            "0",
            "1,000,000,000,000,000,000,000",
            "123,456,789,012,345,678,901,234,567,890",
            "NaN",
            "∞",
        ],
        ["1.00", "1.005"],
        ["3", "4", "-2"],
        ["123,000", "0.00123"],
        ["007", "12345"],
        ["12.3%", "1,200%"],
        ["+5", "-5", "+0"],
        ["+5", "0"],
        ["5"],
        ["2", "-1"],
    ],
    "/currencies": [
        ["$1,234.50", "-$3.00", "$0.00"],
        ["€10.00"],
        ["¥1,235"],
        ["1.00 US dollars", "2.00 US dollars"],
        ["USD\xa05.00"],
        ["($5.00)"],
        ["$5.00"],
        ["$5"],
        ["$1.2M"],
    ],
    "/units": [
        ["50 km/h"],
        ["1 megabyte", "2 megabytes"],
        ["21°C"],
        ["3 days"],
        ["999", "1.2K", "15K", "1.5M", "2.3B", "1T"],
        ["1.2 thousand", "2.5 million"],
        ["1.235E5"],
        ["123.456E3"],
    ],
    "/parts": [
        [
            {"type": "minusSign", "value": "-"},
            {"type": "currency", "value": "$"},
            {"type": "integer", "value": "1"},
            {"type": "group", "value": ","},
            {"type": "integer", "value": "234"},
            {"type": "decimal", "value": "."},
            {"type": "fraction", "value": "50"},
        ],
        [
            {"type": "month", "value": "July"},
            {"type": "literal", "value": " "},
            {"type": "day", "value": "4"},
            {"type": "literal", "value": ", "},
            {"type": "year", "value": "2026"},
            {"type": "literal", "value": " at "},
            {"type": "hour", "value": "6"},
            {"type": "literal", "value": ":"},
            {"type": "minute", "value": "05"},
            {"type": "literal", "value": " "},
            {"type": "dayPeriod", "value": "PM"},
        ],
    ],
    "/styles": [
        "Saturday, July 4, 2026",
        "2:05:09 PM Eastern Daylight Time",
        "Saturday, July 4, 2026 at 8:05:09 PM Central European Summer Time",
        "July 4, 2026",
        "2:05:09 PM EDT",
        "July 4, 2026 at 8:05:09 PM GMT+2",
        "Jul 4, 2026",
        "2:05:09 PM",
        "Jul 4, 2026, 8:05:09 PM",
        "7/4/26",
        "2:05 PM",
        "7/4/26, 8:05 PM",
    ],
    "/zones": [
        ["UTC", "7/4/26, 6:05:09 PM UTC", "11:59 PM UTC", "7/4/2026, GMT", "1/31/2026, Coordinated Universal Time"],
        [
            "America/New_York",
            "7/4/26, 2:05:09 PM EDT",
            "6:59 PM EST",
            "7/4/2026, GMT-4",
            "1/31/2026, Eastern Standard Time",
        ],
        [
            "Europe/Berlin",
            "7/4/26, 8:05:09 PM GMT+2",
            "12:59 AM GMT+1",
            "7/4/2026, GMT+2",
            "2/1/2026, Central European Standard Time",
        ],
        [
            "Asia/Kolkata",
            "7/4/26, 11:35:09 PM GMT+5:30",
            "5:29 AM GMT+5:30",
            "7/4/2026, GMT+5:30",
            "2/1/2026, India Standard Time",
        ],
        [
            "Australia/Lord_Howe",
            "7/5/26, 4:35:09 AM GMT+10:30",
            "10:59 AM GMT+11",
            "7/5/2026, GMT+10:30",
            "2/1/2026, Lord Howe Daylight Time",
        ],
        [
            "America/St_Johns",
            "7/4/26, 3:35:09 PM GMT-2:30",
            "8:29 PM GMT-3:30",
            "7/4/2026, GMT-2:30",
            "1/31/2026, Newfoundland Standard Time",
        ],
        [
            "Pacific/Kiritimati",
            "7/5/26, 8:05:09 AM GMT+14",
            "1:59 PM GMT+14",
            "7/5/2026, GMT+14",
            "2/1/2026, Line Islands Time",
        ],
        [
            "Africa/Casablanca",
            "7/4/26, 7:05:09 PM GMT+1",
            "12:59 AM GMT+1",
            "7/4/2026, GMT+1",
            "2/1/2026, Western European Standard Time",
        ],
    ],
    "/fields": [
        "7/4/2026",
        "07/04/2026",
        "Saturday",
        "July 2026",
        "Jul 4",
        "Sat, Jul 4, 2026, 06:05:09 PM",
        "6 PM",
        "18:05",
        "00:00",
        "24:00",
        "05:09.042",
        "1200 BC",
        "6 in the evening",
        "11:35 PM",
        "J 26",
    ],
    "/ranges": ["Jul 4 – 7", "Jan 31 – Jul 4, 2026", "6:05 PM – 7:05 PM", "$3 – $5"],
    "/options": [
        {
            "locale": "en-US",
            "calendar": "gregory",
            "numberingSystem": "latn",
            "timeZone": "UTC",
            "year": "numeric",
            "month": "numeric",
            "day": "numeric",
        },
        {
            "locale": "en-US",
            "calendar": "gregory",
            "numberingSystem": "latn",
            "timeZone": "America/New_York",
            "hourCycle": "h12",
            "hour12": True,
            "timeStyle": "short",
        },
        {
            "locale": "en-US",
            "numberingSystem": "latn",
            "style": "currency",
            "currency": "USD",
            "currencyDisplay": "symbol",
            "currencySign": "standard",
            "minimumIntegerDigits": 1,
            "minimumFractionDigits": 2,
            "maximumFractionDigits": 2,
            "useGrouping": "auto",
            "notation": "standard",
            "signDisplay": "auto",
            "roundingIncrement": 1,
            "roundingMode": "halfExpand",
            "roundingPriority": "auto",
            "trailingZeroDisplay": "auto",
        },
        "en-US",
        "RangeError",
        "TypeError",
        "RangeError",
        "TypeError",
        ["en-US"],
    ],
    "/plurals": [["other", "one", "other", "other"], ["one", "two", "few", "other", "other", "one", "other"], "other"],
    "/lists": [["a", "a", "a"], ["a and b", "a or b", "a b"], ["a, b, and c", "a, b, or c", "a b c"]],
    "/relative": [
        "1 day ago",
        "yesterday",
        "in 3 months",
        "2 hr. ago",
        [
            {"type": "literal", "value": "in "},
            {"type": "integer", "value": "10", "unit": "second"},
            {"type": "literal", "value": " seconds"},
        ],
    ],
    "/order": [
        "a A ä b B c C e é f z Z",
        "resume Resume résumé Résumé resumes",
        "a1 a01 a9 a10 b2",
        "A a B b",
        "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789aAbBcCdDeEfFgGhHiIjJkKlLmMnNoOpPqQrRsStTuUvVwWxXyYzZ",
        "a β б ב ب 가 あ ア 一",
        0,
        0,
        -1,
        -1,
        0,
        -1,
        1,
        0,
        1,
        0,
        -1,
        {
            "locale": "en-US",
            "usage": "sort",
            "sensitivity": "variant",
            "ignorePunctuation": False,
            "collation": "default",
            "numeric": False,
            "caseFirst": "false",
        },
        "co,co-op,coop,op",
        1,
        1,
    ],
    "/words": [["Don't", "stop", "3.5", "times"], ["é", "👨\u200d👩\u200d👧", "🇩🇪", "!"], 3],
    "/methods": [
        "1,234.5",
        "26%",
        "12,345,678,901,234,567,890",
        "1,234.5,7/4/2026, 6:05:09 PM,,x",
        "1,234.5,0.1",
        "7/4/2026, 6:05:09 PM",
        "7/4/2026",
        "6:05:09 PM",
        "July 4, 2026",
        "Sat, July 4",
        "11:05 AM",
        "Invalid Date",
        "TypeError",
    ],
    "/tags": [
        ["en-US", "zh-Hans-CN", "he"],
        ["en-US"],
        "en-Latn-US-u-ca-gregory",
        "de",
        "[object Intl]",
        True,
        True,
        True,
        "RangeError",
    ],
}


@pytest.fixture(scope="module")
def worker(engine: str) -> Guest:
    return Guest(image(WORKER.read_bytes()), cpu_ms=120_000)


@pytest.mark.parametrize("asked", EXPECTED)
def test_answers_are_those_of_icu(worker: Guest, asked: str) -> None:
    assert json.loads(bytes(worker.get(asked).body)) == EXPECTED[asked]


def test_an_image_has_the_locales_that_it_names(engine: str) -> None:
    answer = Guest(image(GERMAN, "de-DE"), cpu_ms=120_000).get("/")
    assert json.loads(bytes(answer.body)) == [
        "1.234,50\u00a0\u20ac",
        "de-DE",
        "Samstag, 4. Juli 2026",
        "one",
        "1,234.5",  # of French it knows nothing
        "1,234.5",
    ]


@pytest.mark.parametrize("tag", ["no tag", "../en", "qqq"])
def test_locales_that_nothing_is_known_of_are_refused(tag: str) -> None:
    with pytest.raises(PublisherError, match="--locale"):
        js.locale_files([tag])
