"""What `nunatak init` writes is built as it is, and answers."""

from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.main import build_app
from edge.vmm.memory.guest_memory import BaseMemory, page_template
from edge.vmm.memory.image_memory import base_memfd
from edge.vmm.shells.shell import Image
from origin.commands.init_cli import TEMPLATES, write_template
from origin.publish.image_files import read_image
from tests.support.guests import Guest
from vmimage import snapshot

# The interpreters are fetched and compiled by the first test that needs them: some minutes, once a machine.
pytestmark = pytest.mark.timeout(900)


@cache
def built(template: str, folder: Path) -> Image:
    """The image of a new program, by the commands that `init` tells."""
    write_template(template, folder / "app")
    file = folder / "app.oci.tar"
    options = TEMPLATES[template].options.split()
    done = CliRunner().invoke(build_app(), ["build", *options, str(folder / "app"), "-o", str(file)])
    assert done.exception is None, done.output
    base, image = read_image(file)
    state = snapshot.decode(
        base.blobs[base.manifest.snapshot.digest], memory_bytes=base.manifest.memory_bytes, live=False
    )
    manifest = image.manifest
    return Image(
        BaseMemory(base_memfd(state.page_nos, state.rows)),
        page_template(manifest.regions, manifest.memory_bytes),
        image.blobs[manifest.snapshot.digest],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("templates")


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_greets_escapes_lists_and_says_what_it_has_not(template: str, folder: Path) -> None:
    image = built(template, folder / template)

    def get(path: str) -> tuple[int, str, str]:
        answer = Guest(image, fresh=template == "cgi").get(path)
        return answer.status, answer.headers.get("content-type", ""), bytes(answer.body).decode()

    status, kind, body = get("/?name=<b>")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert "<h1>Hello, " in body
    assert "<b>" not in body
    assert "<h1>Hello, world!</h1>" in get("/")[2]
    status, kind, body = get("/greetings")
    assert (status, kind.partition(";")[0]) == (200, "application/json")
    assert '"fr":"Bonjour"' in body
    assert get("/none")[0] == 404
