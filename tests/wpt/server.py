"""The tests' own server, wptserve of the checkout, on 127.0.0.1: `server.py CHECKOUT PORT`.

A program of its own, since it wants the checkout's libraries and its folder as the current one.
"""

import importlib
import os
import sys
import time
from pathlib import Path

LIBRARIES = ("h2/src", "hpack/src", "hyperframe/src", "pywebsocket3", "six")

if __name__ == "__main__":
    checkout, port = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    tools = checkout / "tools"
    libraries = [tools / "third_party" / name for name in LIBRARIES]
    sys.path[:0] = map(str, [checkout, tools, tools / "wptserve", *libraries])
    os.chdir(checkout)
    server = importlib.import_module("wptserve.server")
    server.WebTestHttpd(host="127.0.0.1", port=port, use_ssl=False, certificate=None, doc_root=str(checkout)).start()
    while True:
        time.sleep(60)
