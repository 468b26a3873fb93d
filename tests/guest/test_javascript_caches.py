"""Caches while an image is made, when there is no edge."""

import pytest

from tests.support.workers import RestingWorker, worker_image

WORKER = b"""
const said = [], cache = await caches.open("named"), url = "https://kept.test/";
const calls = [() => cache.match(url), () => cache.put(url, new Response("page")), () => caches.default.delete(url)];
for (const call of calls)
  try { await call(); said.push("nothing"); } catch (error) { said.push(error.message.split(":")[0]); }
export default { fetch: () => Response.json(said) };
"""


@pytest.mark.usefixtures("engine")
def test_the_top_level_may_open_caches_and_not_ask_them() -> None:
    refused = "Disallowed operation called within global scope"
    assert RestingWorker(worker_image(WORKER)).json("/") == [refused] * 3
