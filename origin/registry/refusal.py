"""How an origin refuses: in the words of the OCI distribution specification."""


class OciError(Exception):
    """An answer that refuses, in the words of the distribution specification."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code
