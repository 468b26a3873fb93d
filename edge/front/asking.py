"""What a service is asked on behalf of a client: a request as the block of its guest, if it may be asked that."""

from edge.front import cgi
from edge.front.marks import Marks
from edge.front.request import Request
from edge.model import loops, routes
from edge.model.flow import ClientError


def block_of(request: Request, route: routes.Route, marks: Marks, body_max: int) -> bytes:
    """The key-value block of a request, without its body.

    :param body_max: bytes of a body that the edge takes.
    :raises ClientError: it goes round in circles, or is larger than the edge or a guest takes.
    """
    if request.loops and loops.passed(request.loops) >= loops.PASSED_MAX:
        raise ClientError("loop")
    length = request.content_length
    if length is not None and length > body_max:
        raise ClientError("body_too_large")
    reached = request.connection.reached
    sender = request.sender = marks.senders.of(request.remote, request.headers, reached)
    return cgi.request_block(
        route,
        request.method,
        request.version,
        request.headers,
        reached.port,
        sender,
        request.id,
        length,
        chunked=request.chunked,
        ours=marks.variables(request),
        via=marks.via[request.version[1]],
    )
