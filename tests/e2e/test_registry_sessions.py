"""Do the sessions of docs/how-to/use-registries.md work, with skopeo and oras as they are here?"""

import json
import shutil
from pathlib import Path

import pytest

from loadtest.site.site import Site
from tests.e2e.test_docs import BLOCK, ROOT, Block, paste
from tests.support.packing import EMPTY, artifact
from vmimage.manifest import MANIFEST_TYPE, canonical_json, digest_of

PAGE = (ROOT / "docs" / "how-to" / "use-registries.md").read_text("utf-8")
MANIFEST = artifact("application/vnd.example.tool", layers=(b"a layer",))


def layout(folder: Path) -> None:
    """An image in OCI layout, tagged v1."""
    for data in (MANIFEST, EMPTY, b"a layer"):
        path = folder / "blobs" / "sha256" / digest_of(data).removeprefix("sha256:")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    entry = {
        "mediaType": MANIFEST_TYPE,
        "digest": digest_of(MANIFEST),
        "size": len(MANIFEST),
        "annotations": {"org.opencontainers.image.ref.name": "v1"},
    }
    (folder / "index.json").write_bytes(canonical_json({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def test_the_sessions_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("REAL CLIENTS OF REGISTRIES ARE NOT TESTED HERE: skopeo is not installed")
    pytest.importorskip("oras", reason="REAL CLIENTS OF REGISTRIES ARE NOT TESTED HERE: oras is not installed")
    monkeypatch.setenv("PATH", f"{ROOT / '.venv' / 'bin'}:/usr/bin:/bin")
    (tmp_path / "home").mkdir()
    with Site(tmp_path / "site", edges=0) as site:
        layout(site.folder / "made")
        page = PAGE.replace("127.0.0.1:8700", site.origin.url.removeprefix("http://"))
        blocks = [Block(0, match["body"]) for match in BLOCK.finditer(page) if match["kind"] == "sh"]
        code, printed = paste(blocks, site.folder, tmp_path / "home")
        assert (code, len(printed)) == (0, len(blocks)), printed[-1]
        lines = [json.loads(line) for line in (site.store / "audit.jsonl").read_text().splitlines()]
        assert json.loads((site.folder / "copied" / "manifest.json").read_bytes()) == json.loads(MANIFEST)
    assert "application/vnd.example.tool" in printed[1], "inspect"
    assert '"v1"' in printed[1], "list-tags"
    assert "['v1']" in printed[2]
    assert (site.folder / "pulled" / "tool.txt").read_text() == "a tool\n"
    told = [(line["what"], line["repository"]) for line in lines]
    assert told == [("tag", "acme/tools"), ("delete", "acme/tools"), ("tag", "acme/notes")]
