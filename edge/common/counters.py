"""What the edge counts: one table, a line each, and its form for Prometheus.

Counters are plain integers that one thread (the event loop's) adds to, since the request path pays for them; the
Prometheus client reads them only when it is asked. Gauges are taken from the parts that know them at that moment.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, NamedTuple, TypeVar, get_args, get_type_hints

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX: Final = "nunatak_"


Key = TypeVar("Key", str, tuple[str, str])
Tally = dict[str, int]
Pairs = dict[tuple[str, str], int]


class By(NamedTuple):
    """A counter with a line for each value of a label, or of two (`Pairs`)."""

    label: str
    second: str = ""

    @property
    def labels(self) -> list[str]:
        """Their names."""
        return [self.label, self.second] if self.second else [self.label]


@dataclass(slots=True)
class Counters:
    """Everything counted since the edge started."""

    requests: Annotated[int, "Requests taken for a service."] = 0
    answers: Annotated[Tally, "Answers begun, by where the machine came from.", By("tier")] = field(
        default_factory=dict
    )
    cache_results: Annotated[
        Tally, "Requests that an answer was kept for, or might have been, by what came of that.", By("result")
    ] = field(default_factory=dict)
    cache_evictions: Annotated[int, "Kept answers that made room for others in memory."] = 0
    cache_disk: Annotated[
        Tally,
        "Kept answers that went to the disk, left it, or were looked for there, by what came of it.",
        By("result"),
    ] = field(default_factory=dict)
    purges: Annotated[Tally, "Purges of kept answers, by what they name.", By("kind")] = field(default_factory=dict)
    refusals: Annotated[Tally, "Error answers of the edge itself, by reason.", By("reason")] = field(
        default_factory=dict
    )
    cut_answers: Annotated[int, "Answers that broke off after their head was sent."] = 0
    connections_unread: Annotated[int, "Client connections whose unread answers took too much of the memory."] = 0
    connections_closed: Annotated[int, "Client connections that had nothing to do and made room for new ones."] = 0
    connections_refused: Annotated[int, "Client connections not taken because all there may be were in use."] = 0
    proxy_headers_refused: Annotated[
        Tally, "Connections ended on listeners that expect the PROXY protocol, by reason.", By("reason")
    ] = field(default_factory=dict)
    access_log_lost: Annotated[Tally, "Lines of the access log that were not written, by cause.", By("cause")] = field(
        default_factory=dict
    )
    clients_gone: Annotated[int, "Clients that left before their answer was complete."] = 0
    sockets_opened: Annotated[int, "WebSockets that services took."] = 0
    sockets_ended: Annotated[Tally, "WebSockets that ended, by close code.", By("code")] = field(default_factory=dict)
    socket_messages: Annotated[Tally, "Messages of WebSockets.", By("direction")] = field(default_factory=dict)
    replays: Annotated[int, "Requests given to a second machine because the first was gone before it saw them."] = 0
    collapsed: Annotated[int, "Requests that waited for an image another request was already fetching."] = 0
    origin_fetches: Annotated[int, "Manifests and blobs asked of the origin."] = 0
    origin_bytes: Annotated[int, "Bytes of manifests and blobs that came from the origin."] = 0
    origin_errors: Annotated[Tally, "Failed fetches and look-ups, by reason.", By("reason")] = field(
        default_factory=dict
    )
    peer_fetches: Annotated[Tally, "Manifests and blobs asked of owners in the POP, by outcome.", By("outcome")] = (
        field(default_factory=dict)
    )
    peer_requests: Annotated[
        Tally,
        "Requests that owners in the POP were asked for, and those of peers that were taken, by outcome.",
        By("outcome"),
    ] = field(default_factory=dict)
    peer_errors: Annotated[Tally, "Times that a peer did not answer as it should, by peer.", By("peer")] = field(
        default_factory=dict
    )
    peers_refused: Annotated[Tally, "Connections to the listener for peers that were ended, by cause.", By("cause")] = (
        field(default_factory=dict)
    )
    source_fetches: Annotated[
        Pairs, "What sources of blobs and of the catalogue were asked for, by what came of it.", By("source", "result")
    ] = field(default_factory=dict)
    source_bytes: Annotated[Tally, "Bytes of blobs that came from sources, used or not.", By("source")] = field(
        default_factory=dict
    )
    parent_requests: Annotated[
        Pairs, "Requests that a parent was asked, by what for and by what came of it.", By("kind", "result")
    ] = field(default_factory=dict)
    parent_bytes: Annotated[int, "Bytes of blobs and of the catalogue that a parent has sent."] = 0
    upstream_requests: Annotated[Tally, "Requests that guests made, by outcome.", By("outcome")] = field(
        default_factory=dict
    )
    spans: Annotated[Tally, "Spans of requests for the collector of traces, by what came of them.", By("outcome")] = (
        field(default_factory=dict)
    )
    cache_calls: Annotated[Tally, "Calls of guests to their own cache, by what came of them.", By("result")] = field(
        default_factory=dict
    )
    disk_hits: Annotated[int, "Manifests and blobs found on disk and verified again."] = 0
    disk_bad: Annotated[int, "Manifests, blobs and records on disk that were not what was written."] = 0
    records_refused: Annotated[
        int, "Parked machines dropped because their keyed check failed: edited, damaged, or of another key."
    ] = 0
    records_lost: Annotated[int, "Parked machines that neither memory nor disk had room for."] = 0
    caches_rebuilt: Annotated[int, "Caches on disk that were made anew because their index was damaged."] = 0
    storage_errors: Annotated[Tally, "Reads and writes in the cache folder that failed, by part.", By("part")] = field(
        default_factory=dict
    )
    images_loaded: Annotated[int, "Images verified and made ready in memory."] = 0
    images_too_large: Annotated[int, "Images refused because this edge's memory does not hold one of their size."] = 0
    images_dropped: Annotated[int, "Images evicted from memory."] = 0
    opens: Annotated[int, "Machines opened in a worker."] = 0
    parks: Annotated[int, "Machines parked."] = 0
    spills: Annotated[int, "Parked records moved from memory to disk."] = 0
    crashes: Annotated[Tally, "Machines that ended by an error, by error.", By("error")] = field(default_factory=dict)
    limit_hits: Annotated[Tally, "Requests and machines that ended at a limit of their image.", By("limit")] = field(
        default_factory=dict
    )
    rejuvenations: Annotated[Tally, "Machines rejuvenated, by cause.", By("cause")] = field(default_factory=dict)
    pool_grown: Annotated[int, "Machines opened beside a service's first, because that had too much to do."] = 0
    replaced: Annotated[int, "Machines closed because the catalogue names another version."] = 0
    workers_lost: Annotated[int, "Worker processes that ended unasked."] = 0
    worker_faults: Annotated[int, "Workers killed for breaking the protocol or not answering."] = 0
    worker_ends: Annotated[Tally, "Ends of workers that a machine was blamed for, by cause.", By("cause")] = field(
        default_factory=dict
    )
    states_lost: Annotated[
        Tally, "Services that lost what their machine knew since its last record, by what they go back to.", By("to")
    ] = field(default_factory=dict)
    task_failures: Annotated[Tally, "Failures of the edge's own background work, by task.", By("task")] = field(
        default_factory=dict
    )
    feed_events: Annotated[
        Tally,
        "Events of the origin's feed by kind, and those that were repeated, refused, unknown or lost.",
        By("kind"),
    ] = field(default_factory=dict)
    heartbeats: Annotated[Tally, "Heart-beats for the origin, by what came of them.", By("outcome")] = field(
        default_factory=dict
    )
    fell_back: Annotated[
        Tally, "Versions that did not come up here, so that the one before them goes on, by reason.", By("reason")
    ] = field(default_factory=dict)
    releases_stopped: Annotated[Tally, "Candidates that visitors were sent to no more, by cause.", By("cause")] = field(
        default_factory=dict
    )
    releases_not_begun: Annotated[
        Tally, "Candidates that no visitor was sent to, since they cannot run here, by reason.", By("reason")
    ] = field(default_factory=dict)
    fleet_settings: Annotated[
        Tally, "Versions of the fleet settings, by what came of them: tried, kept, or why not.", By("outcome")
    ] = field(default_factory=dict)
    catalogue_refreshes: Annotated[int, "Looks at the signed catalogue."] = 0
    catalogue_changes: Annotated[int, "Looks that found a new version."] = 0

    disks_loaded: Annotated[int, "Disks whose block list was verified and made ready."] = 0
    blocks_wanted: Annotated[int, "Blocks of disks that workers asked for."] = 0
    blocks_collapsed: Annotated[int, "Of these, blocks that were being fetched already."] = 0
    block_wire_bytes: Annotated[int, "Bytes of blocks, compressed, that were verified for workers."] = 0
    block_errors: Annotated[int, "Blocks that could not be had; the guest got an I/O error."] = 0
    pages_kept: Annotated[int, "Pages that services wrote to copy-on-write disks and flushed."] = 0
    overlays_full: Annotated[int, "Writes refused because the space for written pages is used up."] = 0
    overlays_carried: Annotated[int, "Copy-on-write disks whose written pages went over to a new base."] = 0
    overlays_set_aside: Annotated[Tally, "Written copy-on-write disks taken out of use, by reason.", By("reason")] = (
        field(default_factory=dict)
    )
    overlay_pages_dropped: Annotated[
        Tally, "Written pages of copy-on-write disks that were deleted, by reason.", By("reason")
    ] = field(default_factory=dict)
    flushes_refused: Annotated[int, "Flushes refused because too much of the tenant's waits to be written."] = 0
    records_outdated: Annotated[int, "Parked machines dropped because their disks went on without them."] = 0
    log_records: Annotated[int, "Records and lines of services taken for their logs."] = 0
    log_refused: Annotated[int, "Records and lines for which there was no room."] = 0
    log_damaged: Annotated[int, "Lines of services that were damaged on this edge's disk, and not sent."] = 0
    log_lines_dropped: Annotated[int, "Lines of services not kept: too many of the machine or the tenant."] = 0
    log_batches: Annotated[int, "Batches of log lines that the origin has taken."] = 0

    def add(self, table: dict[Key, int], key: Key, amount: int = 1) -> None:
        """Add to one line of a labelled counter."""
        table[key] = table.get(key, 0) + amount


GAUGES: Final[Mapping[str, str]] = {
    "resident_machines": "Machines in workers.",
    "resident_bytes": "Estimated memory of machines in workers.",
    "parked_machines": "Parked records in memory.",
    "parked_bytes": "Bytes of parked records in memory.",
    "parked_disk_machines": "Parked records on disk and not in memory.",
    "parked_unsaved_machines": "Parked records that the disk does not have yet.",
    "images": "Images ready in memory.",
    "image_bytes": "Bytes of images ready in memory.",
    "responses": "Answers that are kept in memory.",
    "response_bytes": "Memory that they take, and what is set aside for those on disk.",
    "response_disk_answers": "Answers that are kept on disk.",
    "response_disk_bytes": "Disk space that they take, with purges and the database's log.",
    "response_disk_purges": "Purges that are on disk, since some answer there is older.",
    "overlays": "Copy-on-write disks that services wrote to.",
    "overlay_bytes": "Bytes of pages written to them.",
    "overlays_aside": "Of these, copy-on-write disks that are out of use: of another base, dropped or damaged.",
    "overlay_aside_bytes": "Bytes of their pages.",
    "written_services": "Services with pages of their own on this edge: other edges have others.",
    "log_bytes": "Bytes of log lines that wait for the origin.",
    "logs_waiting": "Logs that have such lines, written since the edge started.",
    "services": "Services met since the edge started.",
    "streams": "Requests being answered or waiting.",
    "sockets": "WebSockets of services that are open.",
    "workers": "Worker processes that take work.",
    "quarantined": "Services whose machines run in a worker of their own, since the end of one was blamed on them.",
    "waiting_bytes": "Memory held by requests that wait for a machine.",
    "wakeups": "Machines woken by a deadline of their own, by the workers that are there; an idle one has none.",
    "root_expires_timestamp_seconds": "When the trust root ends, in seconds since 1970; 0 when none is known.",
    "targets_expires_timestamp_seconds": "When the role that says who publishes ends, in such seconds.",
    "bins_expires_timestamp_seconds": "When the first of the catalogue's bins known here ends, in such seconds.",
    "tenants_expires_timestamp_seconds": "When the first of the tenants' files known here ends, in such seconds.",
    "catalogue_age_seconds": "Since the last look at the catalogue that succeeded; -1 when there was none.",
    "feed_applied": "Number of the last event of the origin's feed that is applied; -1 when none is known.",
    "feed_lag_seconds": "From the origin's signing of the last event to its being applied here, by both clocks.",
    "candidates_stopped": "Services whose candidate visitors are sent to no more, here.",
    "fleet_settings_version": "Number of the version of the fleet settings that is in force; 0 for none.",
    "fleet_settings_back": "1 when the edge went back from the fleet settings meant for it, or cannot use them.",
    "catalogue_expired": "1 when the signed catalogue is past its date: new images are refused.",
}


class _Exporter(Collector):
    def __init__(self, counters: Counters, gauges: Callable[[], Mapping[str, float]]) -> None:
        self._counters, self._gauges = counters, gauges

    def collect(self) -> Iterable[Metric]:
        """One family a counter or gauge."""
        for name, number in self._gauges().items():  # what is so comes before what has been
            yield GaugeMetricFamily(PREFIX + name, GAUGES[name], value=number)
        for name, hint in get_type_hints(Counters, include_extras=True).items():
            value, (_, help_, *by) = getattr(self._counters, name), get_args(hint)
            if by:
                family = CounterMetricFamily(PREFIX + name, help_, labels=by[0].labels)
                for label, count in sorted(value.items()):
                    family.add_metric([label] if isinstance(label, str) else label, count)
                yield family
            else:
                yield CounterMetricFamily(PREFIX + name, help_, value=value)


def exposition(
    counters: Counters,
    gauges: Callable[[], Mapping[str, float]],
    encode: Callable[[Collector], bytes] = generate_latest,
) -> bytes:
    """Prometheus text, or what `encode` makes. `gauges` gives a value for names in `GAUGES`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Exporter(counters, gauges))
    return encode(registry)
