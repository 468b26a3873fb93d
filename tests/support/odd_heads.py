"""Requests that two programs could read in two ways: what a client says to smuggle another one past the first of them.

Each is a request line, fields and a body by themselves; a test puts another request behind it.
"""

from collections.abc import Iterator
from typing import Final


def post(target: str, *fields: str, body: str = "", version: str = "1.1") -> bytes:
    """One request, its characters as bytes."""
    return "\r\n".join((f"POST {target} HTTP/{version}", *fields, "", body)).encode("latin-1")


def hosts(host: str) -> dict[str, tuple[str, ...]]:
    """Host fields that are none, or more than one."""
    return {
        "none": (),
        "two": (f"Host: {host}", "Host: other.test"),
        "two alike": (f"Host: {host}", f"Host: {host}"),
        "two in one field": (f"Host: {host}, other.test",),
        "markup": ('Host: a b<script>"',),
        "user and password": (f"Host: u:p@{host}",),
        "user": (f"Host: u@{host}",),
        "path": (f"Host: {host}/-/health",),
        "query": (f"Host: {host}?x",),
        "percent-encoded": (f"Host: {host.replace('.', '%2e')}",),
        "port that is no number": (f"Host: {host}:8o",),
        "port beyond 65535": (f"Host: {host}:65536",),
        "two ports": (f"Host: {host}:80:81",),
        "address with a zone": ("Host: [fe80::1%lo]",),
        "bracket that does not close": ("Host: [::1",),
        "quotes": (f"Host: '{host}'",),
        "space before the colon": (f"Host : {host}",),
        "letters beyond ASCII": (f"Host: {host.replace('e', chr(0xEB))}",),
        "NUL": (f"Host: {host}\0.evil.test",),
        "folded": (f"Host: {host.partition('.')[0]}", f" .{host.partition('.')[2]}"),
    }


def absolute_targets(host: str) -> dict[str, str]:
    """Targets whose authority is none."""
    return {
        "user and password": f"http://u:p@{host}/x",
        "user": f"http://u@{host}/x",
        "no authority": "http:///x",
        "another scheme": f"ftp://{host}/x",
        "no scheme": f"{host}/x",
        "markup": f'http://{host}<script>"/x',
        "port that is no number": f"http://{host}:x/",
        "a tunnel's": f"{host}:443",
        "backslashes": f"http:\\\\{host}\\x",
    }


# Fields that say two things about the end of a body, and what an edge answers.
FRAMINGS: Final[dict[str, tuple[int, tuple[str, ...]]]] = {
    "length and chunks": (400, ("Content-Length: 6", "Transfer-Encoding: chunked")),
    "chunks and length": (400, ("Transfer-Encoding: chunked", "Content-Length: 6")),
    "chunks twice": (400, ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
    "chunks twice in one": (400, ("Transfer-Encoding: chunked, chunked",)),
    "chunks not last": (400, ("Transfer-Encoding: chunked, gzip",)),
    "chunks not last, by a second field": (400, ("Transfer-Encoding: chunked", "Transfer-Encoding: identity")),
    "vertical tab": (400, ("Transfer-Encoding: \x0bchunked",)),
    "space before the colon": (400, ("Transfer-Encoding : chunked",)),
    "no coding": (400, ("Transfer-Encoding:",)),
    "compressed chunks": (501, ("Transfer-Encoding: gzip, chunked",)),
    "a compressed body": (501, ("Transfer-Encoding: gzip",)),
    "identity": (501, ("Transfer-Encoding: identity",)),
    "identity and length": (501, ("Transfer-Encoding: identity", "Content-Length: 6")),
    "nearly chunks": (501, ("Transfer-Encoding: xchunked",)),
    "lengths that differ": (400, ("Content-Length: 6", "Content-Length: 5")),
    "lengths in one": (400, ("Content-Length: 6, 6",)),
    "length with a sign": (400, ("Content-Length: +6",)),
    "length in hexadecimal": (400, ("Content-Length: 0x6",)),
}
FRAMED: Final = "0\r\n\r\nG"  # 6 bytes; by chunks the body is empty, and a G begins what follows

# Chunks that two could end in two places (each behind Transfer-Encoding: chunked).
CHUNKS: Final = {
    "a size with a sign": "+0\r\n\r\n",
    "a size in C's words": "0x0\r\n\r\n",
    "a size that overflows": "10000000000000000\r\n\r\n",
    "a blank before the size": " 0\r\n\r\n",
    "an underscore in the size": "0_0\r\n\r\n",
    "a line that ends with LF": "0\n\n",
    "a size that ends with CR": "0\r\r\n\r\n",
    "an extension with LF in it": "0;a=\nb\r\n\r\n",
    "an extension in quotes": '0;a="\r\n\r\n"\r\n\r\n',
    "data that is longer": "1\r\nab\r\n0\r\n\r\n",
    "data without an end": "1\r\na0\r\n\r\n",
}

# Heads whose lines two could part in two ways; HOST stands for the host.
LINES: Final = {
    "LF alone": b"GET /odd HTTP/1.1\nHost: HOST\n\n",
    "CR alone": b"GET /odd HTTP/1.1\rHost: HOST\r\r",
    "CR in a value": b"GET /odd HTTP/1.1\r\nHost: HOST\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n",
    "LF in a value": b"POST /odd HTTP/1.1\r\nHost: HOST\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded coding": b"POST /odd HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a field without a colon": b"POST /odd HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding chunked\r\n\r\n0\r\n\r\n",
    "a coding with NUL": b"POST /odd HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n",
    "an underscore": (
        b"POST /odd HTTP/1.1\r\nHost: HOST\r\nTransfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
    ),
    "HTTP/1.0 with chunks": b"POST /odd HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/0.9": b"GET /odd\r\n\r\n",
    "HTTP/1.2": b"GET /odd HTTP/1.2\r\nHost: HOST\r\n\r\n",
    "blanks in the line": b"GET  /odd  HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "a header of the PROXY protocol": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
    "a body where there is none": b"GET /odd HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\n\r\nabc",
    "length by an option of the connection": (
        b"POST /odd HTTP/1.1\r\nHost: HOST\r\nConnection: Content-Length\r\nContent-Length: 3\r\n\r\nabc"
    ),
    "an upgrade that is not meant": b"GET /odd HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
}


def all_of_them(host: str) -> Iterator[tuple[str, bytes]]:
    """Each by a name of its own, to be sent to a front whose service has `host`."""
    for name, fields in hosts(host).items():
        yield f"host, {name}", post("/odd", *fields, "Content-Length: 0")
    for name, target in absolute_targets(host).items():
        yield f"target, {name}", post(target, f"Host: {host}", "Content-Length: 0")
    for name, (_, fields) in FRAMINGS.items():
        yield f"framing, {name}", post("/odd", f"Host: {host}", *fields, body=FRAMED)
    for name, body in CHUNKS.items():
        yield f"chunks, {name}", post("/odd", f"Host: {host}", "Transfer-Encoding: chunked", body=body)
    for name, head in LINES.items():
        yield f"lines, {name}", head.replace(b"HOST", host.encode())
