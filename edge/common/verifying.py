"""A process that verifies signatures and never makes one.

The library of signatures imports, with its package, the clients of every key store that is installed, of clouds and of
PKCS #11: where the extras for them are, 190 modules and 10 MiB in the one process of an edge that all trust.
"""

import sys
from typing import Final

# What only signing imports, each by itself: without it the library's signer of that kind says that it is missing.
KEY_STORES: Final = ("azure.identity", "boto3", "google.cloud.kms", "hvac", "pkcs11")


def never_sign() -> None:
    """Import that library without them, in a process that signs nothing: before anything else imports it."""
    hidden = [name for name in KEY_STORES if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # which makes its import fail, and nothing else
    try:
        import securesystemslib.signer  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
