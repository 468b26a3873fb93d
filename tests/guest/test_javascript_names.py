"""Names of classes: what a bundler made of those of packages is nothing that a worker sees."""

import pytest

from tests.support.workers import RestingWorker, worker_image

WORKER = b"""
const wrong = (place) => Object.getOwnPropertyNames(place).filter((name) => {
  let value;
  try { value = place[name]; } catch { return false; }
  return typeof value === "function" && value.name !== name;
});
const found = () => [wrong(globalThis), wrong(Intl), typeof ReadableStream, typeof Intl.Locale];
export default { fetch: () => Response.json(found()) };
"""


@pytest.mark.usefixtures("engine")
def test_globals_and_formatters_are_called_what_they_are() -> None:
    assert RestingWorker(worker_image(WORKER)).json("/") == [[], [], "function", "function"]
