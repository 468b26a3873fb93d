"""Which service stands for a target of the suite's repositories, whose names may be anything."""

import hashlib


def service_name(target: str) -> str:
    """The name of a service, one for each target."""
    return f"target-{hashlib.sha256(target.encode()).hexdigest()[:32]}"
