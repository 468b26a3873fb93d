"""Workers out of a checkout of web-platform-tests: one a group of folders, with the harness and its tests as text."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DRIVER: Final = Path(__file__).parent / "driver.js"
DATA_MAX: Final = 2_000_000  # bytes of a file that tests load
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "url": ("url",),
    "encoding": ("encoding", "encoding/streams"),
    "streams-readable": ("streams", "streams/readable-streams"),
    "streams-byte": ("streams/readable-byte-streams",),
    "streams-writable": ("streams/writable-streams",),
    "streams-transform": ("streams/transform-streams",),
    "streams-piping": ("streams/piping",),
    "fetch-headers": ("fetch/api/headers",),
    "fetch-request": ("fetch/api/request",),
    "fetch-response": ("fetch/api/response",),
    "fetch-body": ("fetch/api/body",),
    "fetch-abort": ("fetch/api/abort",),
    "fetch-basic": ("fetch/api/basic",),
    "fetch-redirect": ("fetch/api/redirect",),
    "formdata": ("xhr/formdata",),
    "fileapi": ("FileAPI/blob", "FileAPI/file"),
    "dom-abort": ("dom/abort",),
    "dom-events": ("dom/events",),
    "webappapis": tuple(
        f"html/webappapis/{name}" for name in ("structured-clone", "atob", "timers", "microtask-queuing", "scripting")
    ),
    "crypto": ("WebCryptoAPI", "WebCryptoAPI/digest"),
    "crypto-keys": tuple(
        f"WebCryptoAPI/{name}"
        for name in ("sign_verify", "encrypt_decrypt", "import_export", "wrapKey_unwrapKey", "derive_bits_keys")
    ),
    "compression": ("compression",),
    "urlpattern": ("urlpattern",),
    "performance": ("performance-timeline", "user-timing", "hr-time"),
    "console": ("console",),
    "webidl": ("webidl/ecmascript-binding", "webidl/ecmascript-binding/es-exceptions"),
    "mimesniff": ("mimesniff/mime-types",),
}
WINDOWS: Final = {"url": ("url/IdnaTestV2.window.js", "url/IdnaTestV2-removed.window.js", "url/toascii.window.js")}
PATCHED: Final = ("fetch", "formdata", "fileapi")  # whose tests have URLs relative to the test's own
# What a server cannot have (a document, a cache, origins, other threads), or whose runs take minutes.
SKIPPED: Final = re.compile(
    r"tentative|\.h2\.any|owning-type|request-bad-port|request-cache|sharedarraybuffer|garbage-collection|crashtests|cors"
    r"|keepalive|credentials|shadowrealm|requires-(success|failure)|atomics-wait|pbkdf2|video-frame|message-port|integrity"
    r"|mode-no-cors|mode-same-origin|referrer|redirect-schemes|redirect-upload|scheme-others|conditional-get|webtiming"
    r"|idlharness"
)
META: Final = re.compile(r"^// META: (\w+)=(.+?)\s*$", re.M)
DECLARED: Final = re.compile(r"^(?:async\s+)?(?:function\s*\*?|var)\s+([A-Za-z_$][\w$]*)", re.M)
LOADED: Final = re.compile(r"""["'`]([\w./-]+\.(?:json|idl))["'`]""")


@dataclass(frozen=True)
class Run:
    """One test in one of its variants."""

    group: str
    test: str
    variant: str

    @property
    def patched(self) -> bool:
        return self.group.startswith(PATCHED)


class Suite:
    """A checkout, as workers find it: the port is that of the tests' own server."""

    def __init__(self, checkout: Path, port: int) -> None:
        self._checkout, self._port = checkout, port
        self.runs: list[Run] = []

    def write(self, group: str, out: Path) -> None:
        """Write the worker of a group, and remember what is to be asked of it.

        :raises OSError: the checkout lacks the harness.
        """
        tests: dict[str, object] = {}
        files: dict[str, str] = {}
        data: dict[str, str] = {}
        for name in self._names(group):
            text, folder = self._text(name), Path(name).parent
            metas = META.findall(text)
            scripts = [_place(folder, value) for key, value in metas if key == "script"]
            files |= {path: self._text(path) for path in [name, *scripts] if self._has(path)}
            for path in (name, *scripts):
                for found in LOADED.findall(files.get(path, "")):
                    place = _place(folder, found)
                    if self._has(place) and (self._checkout / place).stat().st_size < DATA_MAX:
                        data[place] = self._text(place)
            declared = [each for path in scripts for each in DECLARED.findall(files.get(path, ""))]
            tests[name] = {"scripts": scripts, "names": [*dict.fromkeys(declared)], "own": DECLARED.findall(text)}
            variants = [value for key, value in metas if key == "variant"] or [""]
            self.runs += [Run(group, name, variant) for variant in variants]
        harness = self._text("resources/testharness.js").replace(
            "= create_test_environment()", "= new ShellTestEnvironment()"
        )
        given = {"HARNESS": harness, "TESTS": tests, "FILES": files, "DATA": data, "PORT": str(self._port)}
        lines = [f"const {name} = {json.dumps(value)};" for name, value in given.items()]
        (out / f"{group}.js").write_text("\n".join([*lines, DRIVER.read_text()]))

    def _names(self, group: str) -> Iterator[str]:
        for folder in GROUPS[group]:
            for path in sorted((self._checkout / folder).glob("*.any.js")):
                if not SKIPPED.search(f"{folder}/{path.name}"):
                    yield f"{folder}/{path.name}"
        yield from (name for name in WINDOWS.get(group, ()) if self._has(name))

    def _has(self, path: str) -> bool:
        return (self._checkout / path).is_file()

    def _text(self, path: str) -> str:
        """As the tests' server gives it: with this machine in its placeholders."""
        text = (self._checkout / path).read_bytes().decode(errors="replace")
        host, port = "127.0.0.1", str(self._port)
        text = re.sub(r"\{\{(host|hosts\[[a-z]*\]\[[a-z0-9 -]*\]|domains\[[a-z0-9 -]*\])\}\}", host, text)
        text = re.sub(r"\{\{ports\[[a-z0-9-]+\]\[\d\]\}\}", port, text)
        places = {"server": f"http://{host}:{port}", "host": f"{host}:{port}", "port": port, "scheme": "http"}
        return re.sub(r"\{\{location\[(\w+)\]\}\}", lambda found: places.get(found[1], found[0]), text)


def _place(folder: Path, name: str) -> str:
    """A path of the checkout, from one that a file of `folder` has."""
    out: list[str] = []
    for part in (Path(name.lstrip("/")) if name.startswith("/") else folder / name).parts:
        if part == "..":
            out.pop()
        else:
            out.append(part)
    return "/".join(out)
