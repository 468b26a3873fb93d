"""A process that only verifies leaves the clients of key stores alone, whatever is installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge.common.verifying import KEY_STORES

_AFTER = """
import json, sys
from edge.common.verifying import never_sign
never_sign()
import edge.serve, edge.parent.serve
from securesystemslib.signer import KEY_FOR_TYPE_AND_SCHEME
loaded = sorted(sys.modules)
import boto3, pkcs11
print(json.dumps([loaded, sorted(map(str, KEY_FOR_TYPE_AND_SCHEME))]))
"""


@pytest.fixture(scope="module")
def key_stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages named as those that signing imports."""
    folder = tmp_path_factory.mktemp("key-stores")
    for name in KEY_STORES:
        package = folder
        for part in name.split("."):
            package = package / part
            package.mkdir(exist_ok=True)
            (package / "__init__.py").touch()
    return folder


def test_an_edge_and_a_parent_import_no_key_store(key_stores: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(key_stores)!r})\n{_AFTER}"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded, schemes = json.loads(done.stdout)
    assert not set(loaded) & {"boto3", "botocore", "pkcs11", "hvac", "azure.identity", "google.cloud.kms"}
    assert "edge.serve" in loaded
    assert "tuf.api.metadata" in loaded
    assert any("ed25519" in scheme for scheme in schemes), "what signatures are verified by"
