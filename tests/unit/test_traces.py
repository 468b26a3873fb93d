"""Stacks that programs log: to which request each belongs, and where it ends."""

from edge.devices.traces import LINES_MAX, SERVICES_MAX, Trace, TraceReader, Traces

JAVASCRIPT = """\
seen
uncaught: TypeError: no
    at basket (src/basket.ts:4:24)
    at fetch (src/index.ts:9:32)
    for GET /throw (ab-2)
""".splitlines()
LUA = """\
page.lua:3: attempt to call a nil value (local 'f')
stack traceback:
\tpage.lua:3: in function <page.lua:1>
    for POST /a%20b (Ab.3_)
""".splitlines()


def read(lines: list[str]) -> list[Trace]:
    reader = TraceReader()
    return [trace for line in lines if (trace := reader.add(line)) is not None]


def test_what_happened_the_stack_and_the_request() -> None:
    assert read([*JAVASCRIPT, *LUA]) == [
        Trace("uncaught: TypeError: no", ("basket (src/basket.ts:4:24)", "fetch (src/index.ts:9:32)"), "ab-2"),
        Trace(
            "page.lua:3: attempt to call a nil value (local 'f')",
            ("page.lua:3: in function <page.lua:1>",),
            "Ab.3_",
        ),
    ]


def test_a_message_of_several_lines_and_a_cause_with_a_stack_of_its_own_are_one() -> None:
    lines = [
        "uncaught: Error: a",
        "b",
        "    at f (w.js:1:1)",
        "cause: Error: c",
        "    at g (w.js:2:1)",
        "    for GET / (a-1)",
    ]
    assert read(lines) == [Trace("uncaught: Error: a\nb", ("f (w.js:1:1)", "cause: Error: c", "g (w.js:2:1)"), "a-1")]


def test_lines_before_and_after_are_no_part_of_it() -> None:
    lines = ["a line", "    at home, indented", "uncaught: Error: a", "    for GET / (a-1)", "    for GET / (a-2)"]
    assert read(lines) == [Trace("uncaught: Error: a", (), "a-1")]


def test_a_stack_without_end_has_one() -> None:
    (trace,) = read(["uncaught: Error", *["    at f (w.js:1:1)"] * 1000, "    for GET / (a-1)"])
    assert len(trace.frames) == LINES_MAX


def test_only_the_last_stack_of_a_request_that_is_asked_for_is_told() -> None:
    traces = Traces()
    traces.add("shop", JAVASCRIPT[:3])
    assert traces.of("shop", ["ab-2"]) is None, "it goes on in the next part"
    traces.add("other", JAVASCRIPT)
    traces.add("shop", JAVASCRIPT[3:])
    found = traces.of("shop", ["ab-1", "ab-2"])
    assert found is not None
    assert len(found.frames) == 2
    assert traces.of("shop", ["ab-3"]) is None
    for number in range(SERVICES_MAX):
        traces.add(f"s{number}", ["hello"])
    assert traces.of("shop", ["ab-2"]) is None, "of so many services only the last ones are remembered"
