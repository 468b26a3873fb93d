"""Packages of npm behind Node's modules (lazy/node_*.js), and what stands in for their own dependencies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from libos.toolchain.packages import Package

STAND_INS: Final = Path("node") / "stand_ins"  # within lazy/
NODE_PACKAGES: Final[dict[str, Sequence[Package]]] = {
    "node_assert": (
        Package("npm", "assert", "2.1.0", "90027e5efd4bc03eabe781aa7a05d6bcef7098bf125f75c0452830558d66a054"),
    ),
    "node_buffer": (
        Package("npm", "buffer", "6.0.3", "555b6f49224afcf6b2c5a9aea7cd34a7f443f395b10532bc5580022d57aa51f5"),
        Package("npm", "base64-js", "1.5.1", "b1b7a945b52685269083425216d6597e33d97bf21699d656e92fdb3eb5210a85"),
        Package("npm", "ieee754", "1.2.1", "8ef14b9b397e339db89db97881fb714f49319d8f0eb1275901f45567b28f9dac"),
    ),
    "node_crypto": (
        Package("npm", "@noble/hashes", "2.4.0", "e1946149b780017b2564fcc092cb01c04e1d7f20627d0296c17da8868f4436dc"),
    ),
    "node_events": (
        Package("npm", "events", "3.3.0", "2c30dd630b58299bdfaac8688f763c6f312d29779c500b1e3701a1d4fb3b534b"),
    ),
    "node_path": (
        Package("npm", "path-browserify", "1.0.1", "74ad6965c6f8cb61d17b1798d48095c3238eca5707b517640a12150f17b8f93d"),
        Package("npm", "string_decoder", "1.3.0", "7d036900940345e423538371ae45b23bfaf4b454bc398c6ba604063b0597b3ad"),
    ),
    "node_stream": (
        Package("npm", "readable-stream", "4.8.0", "318f45395a1e1f4dab40782dbbd81ec07029b5d5c9afbbf9620c6129e95a67df"),
    ),
    "node_url": (
        Package("npm", "url", "0.11.4", "0fb0d60d58e26a9e5af8555f6baaa9c94f68416c6a399ad7470851aa65e4014a"),
        Package("npm", "punycode", "1.4.1", "452bca7369ca14bc47711c79063f5f0f3939095918508ca7400f5859448ded89"),
        Package("npm", "querystring-es3", "0.2.1", "e5a389fe3a87b47ab022d6c1aa77688aa4fd0496e636de9f573c45db256f283e"),
    ),
    "node_util": (
        Package(
            "npm", "node-inspect-extracted", "3.3.3", "58d99dd106a40eabba7e0f7678afeebf2953abbe23d5958eec53195a6d613760"
        ),
    ),
}
# What packages require of each other is another part's, by share.require(); unless the part has a package of that name.
MODULES: Final = (
    *("assert", "async_hooks", "buffer", "crypto", "events", "process", "punycode", "querystring", "stream"),
    *("string_decoder", "url", "util", "is-nan", "object-is"),
    *("@formatjs/intl-getcanonicallocales", "@formatjs/intl-supportedvaluesof"),
)
# What the engine has, in place of the packages that bring it to old engines.
ALIASES: Final = {
    "abort-controller": "abort_controller.js",
    "call-bind/callBound": "call_bound.js",
    "object-is/polyfill": "object_is.js",
    "object.assign/polyfill": "object_assign.js",
    "safe-buffer": "buffer.js",
    "qs": "querystring.js",
    "entities/decode": "../../rewriter/no_entities.js",
}


def node_options(folder: Path, packages: Sequence[Package]) -> list[str]:
    """esbuild's options for a part with these packages; `folder` is where lazy/ lies."""
    own = {package.name for package in packages}
    outside = [f"--external:{name}" for name in MODULES if name not in own]
    return [*outside, *(f"--alias:{name}={folder / STAND_INS / file}" for name, file in ALIASES.items())]
