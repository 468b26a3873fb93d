"""Options about files that are served: of `nunatak static`, and of `nunatak build` and `nunatak dev`."""

from typing import Annotated, Final

import typer

MAX_AGE_S: Final = 60
YEAR_S: Final = 31_536_000

ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Pattern of files that are not served, such as '*.map' or drafts; may be repeated.",
        metavar="PATTERN",
        show_default="none",
    ),
]
CompressOption = Annotated[
    bool, typer.Option("--compress", help="Make br and gzip of files that are text; who can read them gets those.")
]
CleanOption = Annotated[
    bool, typer.Option("--clean-urls", help="Serve about.html at /about, and send who asks for /about.html there.")
]
SinglePageOption = Annotated[
    bool, typer.Option("--single-page", help="Serve index.html at every path that no file has.")
]
MaxAgeOption = Annotated[
    int,
    typer.Option(
        min=0,
        max=YEAR_S,
        help="For how long browsers use files without asking whether they have changed.",
        metavar="SECONDS",
    ),
]
ImmutableOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Pattern of files that never change, so that browsers need not ask; may be repeated.",
        metavar="PATTERN",
        show_default="files with a hash in their name",
    ),
]
