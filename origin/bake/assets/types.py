"""Media types by the suffix of a file's name.

The table is our own, so that an image does not depend on the machine that it is built on; a test compares it with
mime-db, which gathers what IANA, Apache and nginx list. What is not in it is bytes, which browsers offer to save.
"""

from typing import Final

BYTES: Final = "application/octet-stream"
TYPES: Final = {
    suffix: type_
    for type_, suffixes in {
        "text/html": "html htm",
        "text/css": "css",
        "text/javascript": "js mjs",
        "text/plain": "txt text log conf",
        "text/markdown": "md markdown",
        "text/csv": "csv",
        "text/tab-separated-values": "tsv",
        "text/calendar": "ics",
        "text/vcard": "vcard",
        "text/vtt": "vtt",
        "text/yaml": "yaml yml",
        "application/json": "json map",
        "application/ld+json": "jsonld",
        "application/geo+json": "geojson",
        "application/manifest+json": "webmanifest",
        "application/xml": "xml xsl",
        "application/xhtml+xml": "xhtml xht",
        "application/rss+xml": "rss",
        "application/atom+xml": "atom",
        "application/gpx+xml": "gpx",
        "application/wasm": "wasm",
        "application/pdf": "pdf",
        "application/postscript": "ps eps",
        "application/rtf": "rtf",
        "application/epub+zip": "epub",
        "application/zip": "zip",
        "application/gzip": "gz",
        "application/zstd": "zst",
        "application/x-bzip2": "bz2",
        "application/x-xz": "xz",
        "application/x-tar": "tar",
        "application/x-7z-compressed": "7z",
        "application/vnd.rar": "rar",
        "application/java-archive": "jar",
        "application/vnd.android.package-archive": "apk",
        "application/msword": "doc",
        "application/vnd.ms-excel": "xls",
        "application/vnd.ms-powerpoint": "ppt",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
        "application/vnd.oasis.opendocument.text": "odt",
        "application/vnd.oasis.opendocument.spreadsheet": "ods",
        "application/vnd.oasis.opendocument.presentation": "odp",
        "application/vnd.ms-fontobject": "eot",
        "font/woff": "woff",
        "font/woff2": "woff2",
        "font/ttf": "ttf",
        "font/otf": "otf",
        "font/collection": "ttc",
        "image/png": "png",
        "image/apng": "apng",
        "image/jpeg": "jpg jpeg jpe",
        "image/gif": "gif",
        "image/webp": "webp",
        "image/avif": "avif",
        "image/heic": "heic",
        "image/heif": "heif",
        "image/jxl": "jxl",
        "image/svg+xml": "svg",
        "image/bmp": "bmp",
        "image/tiff": "tif tiff",
        "image/vnd.microsoft.icon": "ico",
        "audio/mpeg": "mp3",
        "audio/mp4": "m4a",
        "audio/aac": "aac",
        "audio/ogg": "oga ogg opus",
        "audio/flac": "flac",
        "audio/wav": "wav",
        "audio/midi": "mid midi",
        "audio/webm": "weba",
        "video/mp4": "mp4 m4v",
        "video/webm": "webm",
        "video/ogg": "ogv",
        "video/quicktime": "mov",
        "video/mpeg": "mpg mpeg",
        "video/x-msvideo": "avi",
        "video/x-matroska": "mkv",
        "video/mp2t": "ts",
        "application/vnd.apple.mpegurl": "m3u8",
        "application/dash+xml": "mpd",
        "model/gltf+json": "gltf",
        "model/gltf-binary": "glb",
        "model/stl": "stl",
    }.items()
    for suffix in suffixes.split()
}
# What compresses, beside text: the rest is compressed already, or unknown.
_COMPRESSIBLE: Final = frozenset(
    {
        *("application/json", "application/xml", "application/wasm", "application/rtf", "application/postscript"),
        *("application/vnd.ms-fontobject", "font/ttf", "font/otf", "font/collection", "image/svg+xml", "image/bmp"),
        *("image/vnd.microsoft.icon", "audio/wav", "audio/midi", "model/gltf-binary", "model/stl", "application/x-tar"),
    }
)


def type_of(name: str) -> str:
    """The media type of a file, without parameters."""
    stem, _, suffix = name.rpartition("/")[2].rpartition(".")
    return TYPES.get(suffix.lower(), BYTES) if stem else BYTES


def is_text(type_: str) -> bool:
    """Whether it has a charset (RFC 2046 section 4.1)."""
    return type_.startswith("text/")


def is_compressible(type_: str) -> bool:
    """Whether it is worth a try."""
    return is_text(type_) or type_ in _COMPRESSIBLE or type_.endswith(("+json", "+xml"))
