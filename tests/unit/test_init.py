"""`nunatak init`: what it writes, and that it overwrites nothing; tests/e2e/test_templates.py runs what it writes."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.main import build_app
from libos.runtimes import language_of
from origin.commands.init_cli import FOLDER, TEMPLATES, write_template
from vmimage.errors import PublisherError


def test_every_folder_of_templates_is_one_and_no_other() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(TEMPLATES)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_a_program_of_its_language_with_a_list_of_what_git_leaves_out(
    template: str, tmp_path: Path
) -> None:
    written = write_template(template, tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert sorted(found) == sorted(written)
    assert "*.oci.tar" in (folder / ".gitignore").read_text().split()
    language = language_of(folder)
    expected = {"javascript": "js", "typescript": "js", "lua": "lua"}.get(template)
    assert (language.name if language else None) == expected


def test_what_is_there_stays_and_nothing_is_written_beside_it(tmp_path: Path) -> None:
    (tmp_path / "main.lua").write_text("mine")
    with pytest.raises(PublisherError, match=r"without main\.lua expected: nothing was written"):
        write_template("lua", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["main.lua"]
    assert (tmp_path / "main.lua").read_text() == "mine"


def test_a_link_that_leads_nowhere_is_there_too(tmp_path: Path) -> None:
    (tmp_path / "main.c").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PublisherError, match="nothing was written"):
        write_template("c", tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_gitignore_of_ones_own_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")
    assert write_template("c", tmp_path) == ["main.c"]
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


def test_the_command_lists_templates_and_says_what_to_do_next(tmp_path: Path) -> None:
    run = CliRunner()
    listed = run.invoke(build_app(), ["init", "--list"])
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(TEMPLATES)
    done = run.invoke(build_app(), ["init", str(tmp_path / "shop"), "--template", "cgi"])
    assert done.exit_code == 0
    assert f"nunatak dev --cgi {tmp_path / 'shop'}" in done.output
    assert "--service shop --host shop.example" in done.output
    unknown = run.invoke(build_app(), ["init", str(tmp_path / "other"), "--template", "cobol"])
    assert isinstance(unknown.exception, PublisherError)
    assert not (tmp_path / "other").exists()
