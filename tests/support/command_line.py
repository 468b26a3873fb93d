"""An operator and tenants at the command line, in this process: a command of its own takes a second to start."""

import json
from pathlib import Path

from typer.testing import CliRunner

from edge.main import build_app
from origin.keys import replace_private
from tests.support.synthetic import BASE, Keys, image
from vmimage.archive import pack_archive
from vmimage.errors import NunatakError

APP = build_app()


class Desk:
    """An operator and tenants at the command line, each with a key folder."""

    def __init__(self, url: str, keys: Keys, folder: Path) -> None:
        self.url, self.keys, self.folder = url, keys, folder

    def run(self, *words: str, keys: Path | None = None) -> str:
        """What a command says on stdout."""
        options = ["--origin", self.url, "--keys", str(keys or self.keys.folder)]
        result = CliRunner().invoke(APP, [*words, *options])
        if isinstance(result.exception, NunatakError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    def tenant(self, name: str, *options: str) -> Path:
        """The key folder of a new tenant, with a token."""
        folder = self.folder / name
        trust = ("--trust", str(self.keys.folder))
        assert (
            CliRunner().invoke(APP, ["tenant", "keygen", str(folder), "--tenant", name, *trust, *options]).exit_code
            == 0
        )
        made = CliRunner().invoke(APP, ["token", "add", "--tenant", name, "--keys", str(self.keys.folder)])
        replace_private(folder / "token", made.stdout.encode())
        return folder

    def publish(self, keys: Path, service: str, *hosts: str, content: bytes = b"") -> str:
        file = self.folder / "image.oci.tar"
        derived = image("guest", base=BASE.manifest, content=service.encode() + content)
        file.write_bytes(pack_archive([BASE, derived]))
        named = [word for host in hosts for word in ("--host", host)]
        return self.run("publish", str(file), "--service", service, *named, keys=keys)

    def known(self) -> dict[str, tuple[str, int, str]]:
        """Services by name: tenant, version and hosts."""
        said = json.loads(self.run("services", "list", "--json"))
        return {each["service"]: (each["tenant"], each["version"], " ".join(each["hosts"])) for each in said}
