"""HTMLRewriter of JavaScript workers on a page that comes in pieces; expected is what workerd answers to the file."""

from typing import Any

import pytest

from tests.support.workers import WORKERS, RestingWorker, worker_image

WORKER = WORKERS / "rewriter.js"
# What becomes of the page's lines; the others stay as they are.
LINES: dict[str, dict[int, str]] = {
    "/around": {
        2: (
            '<body class="x y" data-n=1><!-- note -->&lt;i&gt;<b><p id=first>21one <b>two</b>'
            " three34</p>BA&lt;i&gt;<b><P CLASS='a b'>21four<br>five34</P>BA"
        ),
    },
    "/attributes": {
        2: (
            '<body data-n="a&quot;b" id="true"><!-- note --><p id=first>one <b>two</b> three<'
            '/p><P data-n="a&quot;b" id="true">four<br>five</P>'
        ),
    },
    "/remove": {
        3: ('<img src="a.png" alt><svg><path d="M0"/><g/></svg><div><div>in</div></div>&copy; end</body></html>'),
    },
    "/unwrap": {
        2: ("<body class=\"x y\" data-n=1><!-- note --><p id=first>one two three</p><P CLASS='a b'>four<br>five</P>"),
        3: (
            '<li>1<li>2</li><li title="q &quot;">3</li><img src="a.png" alt><svg><path d="M0"'
            "/><g/></svg><div><div>in</div></div>&copy; end</body></html>"
        ),
    },
    "/replace": {
        2: ('<body class="x y" data-n=1><!-- note --><hr><hr>'),
    },
    "/inner": {
        2: ("<body class=\"x y\" data-n=1><!-- note --><p id=first>&lt;new&gt;</p><P CLASS='a b'>&lt;new&gt;</P>"),
    },
    "/rename": {
        2: (
            '<body class="x y" data-n=1><!-- note --><p id=first>one <strong>two</strong> thr'
            "ee</p><P CLASS='a b'>four<br>five</P>"
        ),
    },
    "/later": {
        2: (
            '<body class="x y" data-n=1><!-- note --><p id=first>one <b>two</b>! three</p><P '
            "CLASS='a b'>four<br>five</P>"
        ),
    },
    "/end": {
        2: (
            '<body class="x y" data-n=1><!-- note --><p id=first>one <b>two</b> three[p]</p>|'
            "<P CLASS='a b'>four<br>five[p]</P>|"
        ),
    },
    "/void": {
        2: (
            '<body class="x y" data-n=1><!-- note --><p id=first>one <b>two</b> three</p><P C'
            "LASS='a b'>four(<br>)five</P>"
        ),
        3: (
            '<ul><li>1<li>2</li><li title="q &quot;">3</li></ul>(<img src="a.png" alt>)<svg><'
            'path d="M0"/><g/></svg><div><div>in</div></div>&copy; end</body></html>'
        ),
    },
    "/shout": {
        2: (
            '<body class="x y" data-n=1><!-- note --><p id=first>one <b>TWO</b> three</p><P C'
            "LASS='a b'>four<br>five</P>"
        ),
    },
    "/comments": {
        2: (
            '<body class="x y" data-n=1><!-- note !-->c<p id=first>one <b>two</b> three</p><P'
            " CLASS='a b'>four<br>five</P>"
        ),
    },
}
ANSWERS: dict[str, Any] = {
    "/same": True,
    "/read": [
        ["body", None, None, [["class", "x y"], ["data-n", "1"]], "http://www.w3.org/1999/xhtml"],
        ["li", None, None, [], "http://www.w3.org/1999/xhtml"],
        ["li", None, None, [], "http://www.w3.org/1999/xhtml"],
        ["li", "q &quot;", None, [["title", "q &quot;"]], "http://www.w3.org/1999/xhtml"],
        ["img", None, "", [["src", "a.png"], ["alt", ""]], "http://www.w3.org/1999/xhtml"],
    ],
    "/texts": "one |two| three|four|five|",
    "/document": [[["html", None], " note "], "dy></html><!--end-->", False],
    "/selectors": ["pfirst,p", "div", "pfirst", "p", "li,li", "li,li", "path,g", "p", "b", "p", "img"],
    "/bad": "TypeError",
    "/thrown": "thrown",
    "/fields": [201, "b", None],
}


@pytest.fixture(scope="module")
def worker(engine: str) -> RestingWorker:
    return RestingWorker(worker_image(WORKER), cpu_ms=60_000)


@pytest.mark.parametrize("change", LINES)
def test_what_a_handler_changes_is_changed_and_nothing_else(worker: RestingWorker, change: str) -> None:
    source = WORKER.read_text("utf-8")
    lines = source[source.index("`") + 1 : source.index("`;")].split("\n")
    expected = "\n".join(LINES[change].get(number, line) for number, line in enumerate(lines))
    assert worker.json(change) == expected


@pytest.mark.parametrize("asked", ANSWERS)
def test_what_handlers_see(worker: RestingWorker, asked: str) -> None:
    assert worker.json(asked) == ANSWERS[asked]
