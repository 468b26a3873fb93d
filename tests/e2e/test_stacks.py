"""From a publisher's TypeScript to the names of its files in the logs of an edge, by way of an origin."""

import json
from pathlib import Path

import pytest

from loadtest.site.fetch import Client
from loadtest.site.site import Site
from origin.commands.init_cli import write_template
from tests.support.edges import admin, eventually

# Runtimes are fetched and compiled by the first test that needs them: some minutes, once a machine.
pytestmark = pytest.mark.timeout(900)

PAGE = """
export const GREETINGS = {};
export function page(_: unknown, name: string): string {
  if (name === "loop") for (;;) ;
  throw new TypeError(`no ${name}`);
}
"""


def test_logs_and_crash_reports_name_the_files_that_a_bundle_was_made_of(site: Site, tmp_path: Path) -> None:
    write_template("typescript", tmp_path)
    (tmp_path / "src" / "page.ts").write_text(PAGE)
    site.publish(site.build(tmp_path, name="stacks"), "stacks")
    edge = site.edges[0]

    def said(text: str) -> None:
        eventually(lambda: text in edge.log.read_text(), text)

    with Client(edge.url) as client:
        failed = client.get("/~service/stacks/?name=basket")
        assert (failed.status, failed.body) == (500, b"Internal Server Error"), "clients are told nothing of it"
        said("    at page (src/page.ts:5:")
        said(f"    for GET / ({failed.headers['x-request-id']})")
        ended = client.get("/~service/stacks/?name=loop")
        assert (ended.status, ended.error) == (504, "out_of_time")
        said("    at page (src/page.ts:4:")

    def program() -> object:
        reports = json.loads(admin(edge, "reports").body)["reports"]
        return next((each.get("program") for each in reports if each["service"] == "stacks"), None)

    eventually(lambda: program() is not None, "the report")
    trace = json.dumps(program())
    assert "page (src/page.ts:4:" in trace
    assert "fetch (src/index.ts:" in trace
