"""Packages of npm that are the web platform: streams, URLs and host names, patterns, encodings, types of media."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from libos.runtimes.js import packed
from libos.toolchain.packages import Package

STREAMS: Final = Package(
    "npm", "web-streams-polyfill", "4.3.0", "79088822b40c14670896a9a803d981d4e26b66c5e2b4ca7d80cd9c143f6078c4"
)
URL: Final = Package("npm", "whatwg-url", "16.0.1", "170548044787ea12d16b1ddaca7c58b8bf83d376ec2ca68dda01db71d5d5fc31")
IDNA: Final = (
    Package("npm", "tr46", "6.0.0", "8737146639e92140a7bf77090b8a09539ec7610b60fcf9a412567cb7280e2881"),
    Package("npm", "punycode", "2.3.1", "e4ce59f9fbac44349abab87279ab658f6b4614916bec5e088ae3be9323e193bb"),
)
URL_PATTERN: Final = Package(
    "npm", "urlpattern-polyfill", "10.1.0", "501dc52bd98e42fe86831a84b805d4555d2f725405a7a27c9d6ef4ebef5b8750"
)
ENCODINGS: Final = Package(
    "npm", "@exodus/bytes", "1.16.0", "bc5282c79f68d01e1516385aee4ffbe6ba955f023e685f3cf2fd3ffcb00c8841"
)
MIME_TYPES: Final = Package(
    "npm", "whatwg-mimetype", "5.0.0", "381cefd6ed7b22bff38372719eb71c037b7554ad798ab71b8fd605763c37aed8"
)
# By part, as `bytecode.PACKAGES` has them.
WEB_PACKAGES: Final[dict[str, Sequence[Package]]] = {
    "streams": (STREAMS,),
    "url": (URL,),
    "idna": IDNA,
    "urlpattern": (URL_PATTERN,),
    "encodings": (ENCODINGS,),
    "encodings-east": (ENCODINGS,),
    "mime": (MIME_TYPES,),
}
# What a part imports and gets another file for: mostly one of ours, in place of what its packages import.
INSTEAD: Final[dict[str, dict[str, str]]] = {
    "url": {
        "tr46": "instead/tr46.js",
        "@exodus/bytes/encoding.js": "instead/percent-encode.js",
        "@exodus/bytes/whatwg.js": "instead/percent-encode.js",
    },
    "encodings": {"encodings-by-label": "node_modules/@exodus/bytes/fallback/encoding.js"},
}
# Large tables of packages, and what writes them shorter.
WEB_TABLES: Final[dict[str, Mapping[str, Callable[[str], str]]]] = {
    "tr46": {"lib/mappingTable.json": packed.mapping_table, "lib/regexes.js": packed.patterns},
    "@exodus/bytes": {"fallback/multi-byte.encodings.json": packed.json_module},
}
