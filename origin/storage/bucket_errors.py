"""What a bucket's store said, as its operator needs it: which bucket, what failed, and what to do. Pure.

The library tells errors in its own words, with the request, the answer's XML and its own state in them. What counts is
in S3's error code (Amazon S3 API Reference, "Error responses"), or in how far the request got.
"""

import re
from typing import Final

TEXT_MAX: Final = 200  # characters of what is not known here

_CODE: Final = re.compile(r"<Code>([A-Za-z0-9]{1,80})</Code>")
_STATUS: Final = re.compile(r"status code: ([0-9]{3})\b")
_REQUEST: Final = re.compile(r".*?Error performing [A-Z]+ \S+ in [^ ,]+(?:, after [^-]*)? - ", re.DOTALL)
_CREDENTIALS: Final = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
_REGION: Final = "the bucket is in another region", "set AWS_REGION to its own, or AWS_ENDPOINT_URL"
_BY_CODE: Final = {
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"),
        ("the store does not take the credentials", _CREDENTIALS),
    ),
    "AccessDenied": (
        "the credentials may not do that",
        "let them GetObject, PutObject, DeleteObject and ListBucket below the prefix",
    ),
    "NoSuchBucket": ("there is no such bucket", "make it, or name another"),
    "InvalidBucketName": ("the store has no buckets of such a name", "name another"),
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"), _REGION
    ),
    "RequestTimeTooSkewed": ("the clocks of the store and of this machine differ", "set this machine's"),
    "NotImplemented": ("the store cannot do that", "take S3, or a store that has all of its operations"),
    **dict.fromkeys(
        ("SlowDown", "ServiceUnavailable", "InternalError"), ("the store has too much to do, or is ill", "try again")
    ),
}
# Where there is no code: what the library says of requests that got no answer.
_BY_WORDS: Final = (
    (
        "169.254.169.254",
        ("no credentials are set, and the machine has no role", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ),
    ("redirect without LOCATION", _REGION),
    ("timed out", ("no answer in time", "check AWS_ENDPOINT_URL, and the network to it")),
    ("error sending request", ("no connection", "check AWS_ENDPOINT_URL, and whether it can be reached from here")),
)
_BY_STATUS: Final = {"401": "InvalidAccessKeyId", "403": "AccessDenied", "501": "NotImplemented", "503": "SlowDown"}


def explained(store: str, key: str, said: str) -> str:
    """One line: the store, what was asked of it, what is wrong and what to do.

    :param store: for people, as `name_of` gives it. :param key: of an object, or a prefix. :param said: by the library.
    """
    what, remedy = _meaning(said)
    return f"{store}: {key or 'its list'}: {what}: {remedy}"


def name_of(bucket: str, prefix: str, endpoint: str) -> str:
    """A bucket and where it is, without a password that an endpoint may have."""
    at = re.sub(r"//[^/]*@", "//", endpoint) or "Amazon S3"
    return f"s3://{bucket}{f'/{prefix}' if prefix else ''} at {at}"


def is_missing_bucket(said: str) -> bool:
    """Whether what is not there is the bucket, and not an object in it."""
    return "<Code>NoSuchBucket</Code>" in said


def _meaning(said: str) -> tuple[str, str]:
    """What is wrong, and what to do."""
    code, status = (match[1] if (match := form.search(said)) is not None else "" for form in (_CODE, _STATUS))
    for words, meaning in _BY_WORDS:
        if words in said:
            return meaning
    what, remedy = _BY_CODE.get(code) or _BY_CODE.get(_BY_STATUS.get(status, "")) or ("", "")
    answer = " ".join(filter(None, (status, code)))
    if what:
        return f"{what} ({answer})", remedy
    if answer:
        return f"the store answered {answer}", "check the bucket, AWS_ENDPOINT_URL and the credentials"
    line = " ".join(_REQUEST.sub("", said.split("\n\nDebug source")[0]).split())[:TEXT_MAX]
    return line, "check the bucket, AWS_ENDPOINT_URL and the credentials"
