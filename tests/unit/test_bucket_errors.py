"""Does an operator learn which bucket, what failed and what to do, whatever a store of S3 answers?"""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from origin.storage.blobs import NoAnswer
from origin.storage.bucket_errors import explained, name_of
from origin.storage.opening import open_store
from origin.storage.s3 import S3
from tests.support.serving import serving
from vmimage.errors import OperatorError

SET = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}


@contextmanager
def answering(status: int, code: str) -> Iterator[str]:
    """A store that answers every request so; its URL."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>words of its own</Message></Error>".encode()

    class Store(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = answer

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    with serving(Store) as url:
        yield url


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr("origin.storage.s3.RETRIES", 0)
    for name, value in SET.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "InvalidAccessKeyId", "does not take the credentials (403 InvalidAccessKeyId): check AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "does not take the credentials (403 SignatureDoesNotMatch): check AWS_"),
        (403, "AccessDenied", "may not do that (403 AccessDenied): let them GetObject"),
        (404, "NoSuchBucket", "there is no such bucket (404 NoSuchBucket): make it"),
        (301, "PermanentRedirect", "the bucket is in another region: set AWS_REGION"),
        (400, "AuthorizationHeaderMalformed", "in another region (400 AuthorizationHeaderMalformed): set AWS_REGION"),
        (403, "RequestTimeTooSkewed", "clocks of the store and of this machine differ (403"),
        (503, "SlowDown", "has too much to do, or is ill (503 SlowDown): try again"),
        (418, "NobodyKnows", "the store answered 418 NobodyKnows: check the bucket, AWS_ENDPOINT_URL and the cred"),
    ],
)
def test_what_a_store_refuses(variables: pytest.MonkeyPatch, status: int, code: str, said: str) -> None:
    with answering(status, code) as url:
        variables.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(OperatorError) as refused:
            open_store("s3://bucket/prefix")
    text = str(refused.value)
    assert text.startswith(f"s3://bucket/prefix at {url}: probe/")
    assert said in text
    for foreign in ("Error performing", "<Error>", "words of its own", "Debug", "retry", "\n"):
        assert foreign not in text


def test_a_bucket_that_is_gone_is_no_object_that_is_gone(variables: pytest.MonkeyPatch) -> None:
    """Else an origin would found its catalogue anew, or a publisher be told of a conflict."""
    with answering(404, "NoSuchBucket") as url:
        variables.setenv("AWS_ENDPOINT_URL", url)
        store = S3("bucket")
        for ask in (
            lambda: store.read("tuf/timestamp.json"),
            lambda: store.get("blobs/a"),
            lambda: store.put("blobs/a", b""),
            lambda: store.swap("blobs/a", '"tag"', b""),
            lambda: list(store.list("blobs")),
        ):
            with pytest.raises(NoAnswer) as raised:
                ask()
            assert "there is no such bucket" in raised.value.detail


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "https://", "http://[::1", "https://x:port"])
def test_endpoints_that_are_none(variables: pytest.MonkeyPatch, url: str) -> None:
    variables.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(OperatorError, match="AWS_ENDPOINT_URL: an https URL with a host expected"):
        S3("bucket")


def test_what_nobody_knows_is_told_in_one_line_of_few_words() -> None:
    said = "Generic S3 error: Error performing PUT http://x/b/k in 2.5ms, after 3 retries, max_retries: 3 - odd\n thing"
    assert explained("s3://b at x", "k", f"{said}\n\nDebug source:\nNotFound {{}}").startswith(
        "s3://b at x: k: odd thing: check"
    )
    assert len(explained("s3://b at x", "k", "w" * 10_000)) < 400
    machine = "Error performing PUT http://169.254.169.254/latest/api/token in 1ms - no"
    assert name_of("b", "", "https://user:word@x/y") == "s3://b at https://x/y"
    assert "no credentials are set" in explained("s3://b at x", "k", machine)
