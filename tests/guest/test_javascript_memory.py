"""Memory that a worker has used and left: it is room for other things, however small the pieces were."""

import pytest

from tests.support.workers import RestingWorker, worker_image

MIB = 1 << 20
# Each path leaves everything behind that it made.
WORKER = b"""
let held = null, kept = 0;
const pieces = (size, bytes) => {
  const all = [];
  for (let n = 0; n < bytes / size; n++) all.push(new Uint8Array(size));
  return all.length;
};
const paths = {
  "/pieces": (size, bytes) => pieces(size, bytes),
  "/whole": (bytes) => new Uint8Array(bytes).length,
  "/hold": (bytes) => (held = new Uint8Array(bytes)).length,
  "/circles": (size, count) => {
    for (let n = 0; n < count; n++) {
      const circle = { text: "x".repeat(size) };
      circle.self = circle;
      kept += circle.text.length;
    }
    return kept;
  },
};
export default {
  fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    try { return Response.json(paths[pathname](...[...searchParams.values()].map(Number))); }
    catch (error) { return Response.json(String(error)); }
  },
};
"""


@pytest.fixture
def worker(engine: str) -> RestingWorker:
    return RestingWorker(worker_image(WORKER))


def test_small_pieces_that_are_gone_leave_room_for_large_ones(worker: RestingWorker) -> None:
    for size in (800, 1600, 3200, 6400, 12_800, 25_600):
        assert worker.json(f"/pieces?size={size}&bytes={8 * MIB}") == -(-8 * MIB // size)
    assert worker.json(f"/whole?bytes={14 * MIB}") == 14 * MIB


def test_circles_are_collected_before_a_text_has_no_room(worker: RestingWorker) -> None:
    assert worker.json(f"/hold?bytes={12 * MIB}") == 12 * MIB
    assert worker.json(f"/circles?size={3 * MIB}&count=12") == 36 * MIB


def test_what_has_no_room_at_all_is_an_exception(worker: RestingWorker) -> None:
    assert "memory" in str(worker.json(f"/whole?bytes={31 * MIB}"))
    assert worker.json(f"/whole?bytes={14 * MIB}") == 14 * MIB
