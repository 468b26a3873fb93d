"""What is decided of WebSockets: what a guest is told, with which code one ends, and whose time is up."""

import pytest

from edge.front.cgi import split_block
from edge.model import flow, sockets
from edge.model.sockets import Due, Patience, Times, due
from edge.vmm.wire.streams import Piece
from tests.support.playbook import Playbook
from tests.support.plays import RECORD, resident
from vmimage import abi, errors
from vmimage.errors import FormatError
from vmimage.sockets import check_piece, close_of, may_be_sent

PATIENCE = Patience(ping_s=30, idle_s=3600, message_s=20, close_s=5)
END = abi.FLAG_END


def _variables(block: bytes) -> dict[bytes, bytes]:
    parts = split_block(block)[0][:-1].split(b"\0")
    return dict(zip(parts[:-1:2], parts[1::2], strict=True))


def test_an_offer_is_a_request_with_a_number() -> None:
    block = sockets.offer(b"REQUEST_METHOD\0GET\0\0", 7, "run", 3)
    assert _variables(block) == {
        b"REQUEST_METHOD": b"GET",
        b"HTTP_UPGRADE": b"websocket",
        b"HTTP_CONNECTION": b"Upgrade",
        b"NUNATAK_SOCKET": b"7",
        b"NUNATAK_LINEAGE": b"run-3",
    }


def test_an_event_is_a_request_with_a_method_that_no_client_has() -> None:
    block = sockets.event("close", 7, "run", 3, 99, code=1001, clean=True)
    assert _variables(block) == {
        b"REQUEST_METHOD": b"SOCKET",
        b"NUNATAK_EVENT": b"close",
        b"NUNATAK_SOCKET": b"7",
        b"NUNATAK_LINEAGE": b"run-3",
        b"NUNATAK_TAKEN": b"99",
        b"NUNATAK_CODE": b"1001",
        b"NUNATAK_CLEAN": b"1",
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Unavailable("no"), 1013),
        (flow.BackingOff(1), 1013),
        (errors.OverBudget("no"), 1013),
        (flow.WorkerLost("gone"), 1012),
        (errors.GuestFault("broken"), 1011),
        (flow.GuestSilent("mute"), 1011),
        (flow.ClientError("body_too_large"), 1013),
    ],
)
def test_the_code_says_whether_to_come_back(error: Exception, code: int) -> None:
    assert sockets.code_after(error) == code


@pytest.mark.parametrize(
    ("times", "now", "expected"),
    [
        (Times(heard=0, pinged=None, message=0), 10, Due("nothing", 20)),
        (Times(heard=0, pinged=None, message=0), 30, Due("ping", 30)),
        (Times(heard=0, pinged=30, message=0), 59, Due("nothing", 1)),
        (Times(heard=0, pinged=30, message=0), 60, Due("silent", 0)),
        (Times(heard=31, pinged=None, message=0), 60, Due("nothing", 1)),
        (Times(heard=3590, pinged=None, message=0), 3600, Due("idle", 0)),
        (Times(heard=3590, pinged=None, message=10), 3600, Due("nothing", 10)),
        (Times(heard=10, pinged=None, message=0, begun=5), 24, Due("nothing", 1)),
        (Times(heard=24, pinged=None, message=0, begun=5), 25, Due("slow", 0)),
        (Times(heard=0, pinged=None, message=0, closing=100), 104, Due("nothing", 1)),
        (Times(heard=104, pinged=None, message=0, closing=100), 105, Due("unclosed", 0)),
    ],
)
def test_whose_time_is_up(times: Times, now: float, expected: Due) -> None:
    assert due(times, PATIENCE, now) == expected


def test_codes_that_an_endpoint_may_send() -> None:
    sent = [code for code in range(900, 5100) if may_be_sent(code)]
    assert sent == [*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)]


@pytest.mark.parametrize(
    ("flags", "payload"),
    [(END, b"\x01text"), (0, b"\x01te"), (END, b"\x02"), (END, b"\x08\0\0"), (END, b"\x08\xe8\x03bye")],
)
def test_pieces_that_a_guest_may_send(flags: int, payload: bytes) -> None:
    check_piece(flags, payload)


@pytest.mark.parametrize(
    ("flags", "payload"),
    [
        (END, b""),
        (END, b"\x00"),
        (END, b"\x03data"),
        (END, b"\x09ping"),
        (2, b"\x01text"),
        (END, b"\x01" + bytes(abi.RECORD_PAYLOAD_MAX)),
        (END, b"\x08"),
        (END, b"\x08\xe8"),
        (0, b"\x08\xe8\x03"),
        (END, b"\x08\x00\x00reason without a code"),
        (END, b"\x08\xee\x03"),  # 1006
        (END, b"\x08\xe8\x03" + b"x" * 124),
        (END, b"\x08\xe8\x03\xff"),
    ],
)
def test_what_is_no_piece(flags: int, payload: bytes) -> None:
    with pytest.raises(FormatError):
        check_piece(flags, payload)


def test_a_close_has_a_code_and_a_reason() -> None:
    assert close_of(b"\x08\xe8\x03" + "für heute".encode()) == (1000, "für heute")
    assert close_of(b"\x08\0\0") == (0, "")


# With what a service's sockets end: played, as all of its life.


class Socket:
    """One that is only counted."""

    def on_piece(self, piece: Piece) -> None:
        raise AssertionError("a decision does no I/O")

    def end(self, code: int) -> None:
        raise AssertionError("a decision does no I/O")

    def __str__(self) -> str:
        return "socket"


def with_socket(**about: object) -> Playbook:
    """Service a has a machine, and that a socket."""
    play = resident(**about)
    play.services["a"].sockets[7] = Socket()
    return play


def ended(play: Playbook, code: int, *, times: int = 1) -> list[str]:
    """What came of the last event; the socket ended with a code, and the next machine is of another lineage."""
    seen = play.came()
    assert seen.count(f"EndSockets(socket, {code})") == times
    assert (play.services["a"].sockets, play.services["a"].lineage) == ({}, times)
    return seen


def test_sockets_stay_with_a_machine_that_is_parked_and_comes_back() -> None:
    play = with_socket().park().expect("Park(a#1)").parked()
    play.expect("KeepRecord(a, a#1, 6 bytes, 0 s, 1)", "Leave(a#1)", "Count(parks)")
    play.asked(1).expect("Open(a)").opened(held=RECORD).expect("Dispatch(a#2, 1)")
    assert list(play.services["a"].sockets) == [7]
    assert play.services["a"].lineage == 0


def test_sockets_end_when_the_record_of_their_machine_is_gone() -> None:
    play = with_socket().park().expect("Park(a#1)").parked()
    play.expect("KeepRecord(a, a#1, 6 bytes, 0 s, 1)", "Leave(a#1)", "Count(parks)").asked(1).expect("Open(a)")
    assert "Dispatch(a#2, 1)" in ended(play.opened(), 1012)


def test_sockets_end_with_their_machine() -> None:
    ended(with_socket().died(), 1011)
    ended(with_socket().changed(), 1012)
    ended(with_socket().changed(withdrawn=True), 1012)
    ended(with_socket().grew(), 1012)
    ended(with_socket().worker_lost(), 1012)
    ended(with_socket().worker_lost(blamed="a#1"), 1011)
    ended(with_socket().park().expect("Park(a#1)").worker_lost(), 1012)


def test_what_has_no_sockets_says_nothing_of_them() -> None:
    ended(resident().changed(), 1012, times=0)
