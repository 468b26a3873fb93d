"""What a shell costs beside its pages: one number for the worker that measures and the supervisor that admits."""

from typing import Final

# Host memory of an idle shell: Unicorn instance and tables, measured 1.2 MiB on unicorn 2.1.4 without huge pages. Its
# translation buffer of 8 MiB is hardly touched.
SHELL_OVERHEAD_BYTES: Final = 5 << 18
