"""`python -m tests.property.fuzzing`: everything for long on all cores (`make fuzz`), or one thing again.

all       --cases N --minutes M --seed S --jobs J    so many cases or so long; a seed of its own each time
code      --engine E --seed S --first N --count K    hostile machines again; or --file CASE.json
frames    --seed S --first N --count K               conversations with a worker again
parser    NAME --seed S --first N --count K          inputs of a parser again; or --hex BYTES, or --file
lies      --seed S --lives N                         a hostile worker beside a real one
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.property.fuzzing import campaign, conversations, http_heads, lies, marathon, parsers
from tests.property.fuzzing.case import Case
from tests.property.fuzzing.session import Failure
from tests.property.fuzzing.targets import targets


def _code(arguments: argparse.Namespace) -> int:
    if arguments.file:
        case = Case.from_json(arguments.file.read_text())
        if arguments.simplify:
            failure = campaign.replay(arguments.engine, [case])
            if failure is not None:
                print(campaign.simplify(arguments.engine, case, failure.kind).to_json())
        failure = campaign.replay(arguments.engine, [case])
        if failure is not None:
            print(f"{failure}\n{failure.said}")
        return failure is not None
    tally = campaign.run(arguments.engine, arguments.seed, arguments.first, arguments.count)
    for found in tally.found:
        print(found.report())
        if arguments.keep:
            print("kept as", *(path.name for path in campaign.keep(found)))
    print(f"{tally.done} cases: {dict(tally.outcomes)}")
    return bool(tally.found)


def _parser(arguments: argparse.Namespace) -> int:
    given = {target.name: target for target in targets()}
    numbers = arguments.seed, arguments.first, arguments.count
    data = arguments.file.read_bytes() if arguments.file else bytes.fromhex(arguments.hex)
    try:
        if arguments.name == http_heads.NAME:
            print(http_heads.try_one(data) if data else dict(http_heads.run(*numbers)))
        elif data:
            print(parsers.try_one(given[arguments.name], data, measured=True))
        else:
            print(dict(parsers.run(given[arguments.name], *numbers)))
    except parsers.ParserFailure as failure:
        print(failure)
        return 1
    return 0


def main() -> int:
    """The command line."""
    program = argparse.ArgumentParser(
        prog="python -m tests.property.fuzzing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = program.add_subparsers(dest="command", required=True)
    every = commands.add_parser("all")
    every.add_argument("--cases", type=int, default=1_000_000)
    every.add_argument("--minutes", type=float, default=0.0, help="0: however long the cases take")
    every.add_argument("--seed", type=int, default=None)
    every.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    code = commands.add_parser("code")
    code.add_argument("--engine", choices=("unicorn", "kvm", "auto"), default="unicorn")
    code.add_argument("--file", type=Path)
    code.add_argument("--simplify", action="store_true", help="leave out what the failure does not need, and print it")
    code.add_argument("--keep", action="store_true", help="put what fails into the corpus")
    parser = commands.add_parser("parser")
    parser.add_argument("name")
    parser.add_argument("--hex", default="")
    parser.add_argument("--file", type=Path)
    talk = commands.add_parser("frames")
    for one in (code, parser, talk):
        one.add_argument("--seed", type=int, default=1)
        one.add_argument("--first", type=int, default=0)
        one.add_argument("--count", type=int, default=1000)
    lie = commands.add_parser("lies")
    lie.add_argument("--seed", type=int, default=1)
    lie.add_argument("--lives", type=int, default=50)
    arguments = program.parse_args()
    if arguments.command == "all":
        seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "little")
        return marathon.run(arguments.cases, arguments.minutes, seed, arguments.jobs)
    if arguments.command == "code":
        return _code(arguments)
    if arguments.command == "parser":
        return _parser(arguments)
    try:
        if arguments.command == "frames":
            print(dict(conversations.run(arguments.seed, arguments.first, arguments.count)))
        else:
            with tempfile.TemporaryDirectory() as folder:
                print(dict(lies.run(Path(folder), arguments.seed, arguments.lives, 3600.0)))
    except Failure as failure:
        print(f"{failure}\n{failure.said}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
