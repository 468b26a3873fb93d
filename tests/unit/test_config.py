"""Configuration: one set of fields for file, command line and help; bad input is one clear line."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edge.cli import app
from edge.config.options import EdgeConfig, load_config, load_settings, options
from vmimage.errors import OperatorError

NEEDED = {"origin": "http://127.0.0.1:1", "trust": "root.json", "cache": "cache"}


def test_the_defaults_are_those_of_the_class_and_share_out_the_memory() -> None:
    config = load_config(None, NEEDED)
    assert config == EdgeConfig(origin="http://127.0.0.1:1", trust=Path("root.json"), cache=Path("cache"))
    assert config.resident_bytes + config.image_bytes + config.parked_bytes == config.memory


def test_every_default_is_within_its_own_range() -> None:
    given = {
        option.name: option.default for option in options() if not option.name.startswith(("origin", "trust", "cache"))
    }
    load_config(None, {**NEEDED, **{name: str(value) for name, value in given.items()}})


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text('memory = "64MiB"\nrefresh = 2\nworkers = 3\n')
    config = load_config(file, {**NEEDED, "workers": "1"})
    assert (config.memory, config.refresh, config.workers) == (64 << 20, 2.0, 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"memroy": "1"}, "--memroy: no option of this name: did you mean memory?"),
        ({"zzzz": "1"}, "--zzzz: no option of this name: see --help"),
        ({"memory": "1MiB"}, "--memory: 16MiB to 1TiB expected, got 1MiB"),
        ({"memory": "lots"}, "--memory: a size such as 256MiB expected, got 'lots'"),
        ({"memory": "50%"}, "--memory: a size such as 256MiB expected, got '50%'"),
        ({"image_memory": "101%"}, "--image-memory: a share from 0% to 100% expected, got '101%'"),
        ({"image_memory": "50%", "parked_memory": "48%"}, "memory: image_memory and parked_memory that leave 8MiB"),
        ({"workers": "two"}, "--workers: a whole number expected, got 'two'"),
        ({"workers": "-1"}, "--workers: 0 to 256 expected, got -1"),
        ({"refresh": "nan"}, "--refresh: a duration such as 30s or 10min expected, got 'nan'"),
        ({"refresh": "2h"}, "--refresh: 100ms to 1h expected, got 2h"),
        ({"weights": "a=0"}, "--weights: TENANT=WEIGHT with 1 to 10000 expected, got 'a=0'"),
        ({"trusted_proxies": "me"}, "--trusted-proxies: networks such as 10.0.0.0/8 expected: "),
        (
            {"listen": "8080"},
            "--listen: unix:PATH, fd:NAME or ADDRESS:PORT ([ADDRESS]:PORT for IPv6) expected, got '8080'",
        ),
        ({"listen": "a:99999"}, "--listen: "),
        ({"origin": "ftp://x"}, "--origin: an http or https URL expected"),
        ({"kvm_ring0": "true"}, "--kvm-ring0: on or off expected, got 'true'"),
        (
            {"admin": "10.0.0.0/8"},
            "--admin: this option is no more: operators' pages have a listener of their own",
        ),
        (
            {"admin_listen": "unix:"},
            "--admin-listen: unix:PATH or ADDRESS:PORT ([ADDRESS]:PORT for IPv6) expected, got 'unix:'",
        ),
        ({"admin_listen": "unix:a/"}, "--admin-listen: "),
        (
            {"admin_listen": "9090"},
            "--admin-listen: unix:PATH or ADDRESS:PORT ([ADDRESS]:PORT for IPv6) expected, got '9090'",
        ),
        ({"admin_listen": "127.0.0.1:9090"}, "admin_token: a file with a token expected for operators' pages on 127"),
    ],
)
def test_bad_values_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(OperatorError) as caught:
        load_config(None, {**NEEDED, **given})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


FORMS = """# every form that there is
memory = "128MiB"
image-memory = "50%"  # of memory
parked_memory = 1048576
workers = 3
refresh = "500ms"
drain = 7
socket_idle = "2h"
upstreams = [
    "public",  # one in a line
    "10.1.0.0/16",
]
kvm_ring0 = true
admin_hosts = ["a.example", "b.example"]

[weights]
shop = 3
blog = 10
"""


def test_a_file_takes_each_form_in_both_spellings(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(FORMS)
    config = load_config(file, NEEDED)
    assert (config.memory, config.image_bytes, config.parked_bytes) == (128 << 20, 64 << 20, 1 << 20)
    assert (config.workers, config.refresh, config.drain, config.socket_idle) == (3, 0.5, 7, 7200)
    assert (config.upstreams, config.admin_hosts) == ("public,10.1.0.0/16", "a.example,b.example")
    assert (config.kvm_ring0, config.tenant_weights) == ("on", {"shop": 3, "blog": 10})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nmemory = true", ":2: memory: a number or text expected, got true or false"),
        ("memory = [1]", ":1: memory: a number or text expected, got a list"),
        ("memory = 1979-05-27", ":1: memory: a number or text expected, got something else"),
        ("workers = 1.5", ":1: workers: a whole number expected, got 1.5"),
        ("# one\n# two\nmemroy = 1", ":3: memroy: no option of this name: did you mean memory?"),
        ("drain = 1\n\nlisten-on = 1", ":3: listen-on: no option of this name: did you mean listen?"),
        ('upstreams = [\n  "public",\n]\nlisten = "x"', ":4: listen: unix:PATH, fd:NAME or ADDRESS:PORT"),
        ('upstreams = ["10.0.0.0/8,public"]', ":1: upstreams: texts and numbers without , expected in it, got"),
        ("admin_hosts = [[1]]", ":1: admin_hosts: texts and numbers without , expected in it, got [1]"),
        ("[admin_hosts]\na = 1", ":1: admin_hosts: a number or text, or a list, expected, got a table"),
        ("drain = 1\n[weights]\na = 0", ":2: weights: TENANT=WEIGHT with 1 to 10000 expected, got 'a=0'"),
        ('[weights]\n"a,b" = 1', ":1: weights: texts and numbers without , and = expected in it, got 'a,b'"),
        (
            "service-host = 'a'\nservice_host = 'b'",
            ":2: service_host: one spelling expected, service-host is given too",
        ),
        ("admin = 1", ":1: admin: this option is no more: "),
        ("drain = 1\nmemory = ", ":2: Invalid value (at line 2, column 10)"),
        ("drain = 1\ndrain = 2", ":2: Cannot overwrite a value (at line 2, column "),
        ("log = '''\nmemroy = 1\n'''\nwedged = '1h'", ":4: wedged: 500ms to 10min expected, got 1h"),
        ("a = " + "[" * 2000, ":1: "),
    ],
    ids=lambda text: str(text)[:40],
)
def test_a_mistake_in_a_file_is_told_with_file_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(text)
    with pytest.raises(OperatorError) as caught:
        load_config(file, NEEDED)
    assert f"{file}{message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_text_or_too_large_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_bytes(b"drain = 1\nlog = '\xff'")
    with pytest.raises(OperatorError, match=r"edge\.toml:2: UTF-8 expected"):
        load_config(file, NEEDED)
    file.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(OperatorError, match="at most 1048576 bytes expected"):
        load_config(file, NEEDED)


def test_all_mistakes_are_told_at_once_each_with_who_made_it(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text("memroy = 1\nworkers = 1.5\n")
    with pytest.raises(OperatorError) as caught:
        load_config(file, {**NEEDED, "drain": "x"}, {"NUNATAK_EDGE_REFRESH": "soon", "NUNATAK_EDGE_DRIAN": "1"})
    assert [line.partition(": ")[0].rpartition("/")[2] for line in str(caught.value).splitlines()] == [
        "edge.toml:1",
        "NUNATAK_EDGE_DRIAN",
        "edge.toml:2",
        "NUNATAK_EDGE_REFRESH",
        "--drain",
    ]


def test_the_line_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text("workers = 1\ndrain = 1\nrefresh = 1\n")
    environment = {"NUNATAK_EDGE_DRAIN": "2s", "NUNATAK_EDGE_REFRESH": "2", "NUNATAK_EDGE_LOG": "", "PATH": "x"}
    config = load_config(file, {**NEEDED, "refresh": "3"}, environment)
    assert (config.workers, config.drain, config.refresh, config.log) == (1, 2, 3, "")


def test_what_kubernetes_says_of_a_service_is_taken_for_no_option() -> None:
    links = {
        "NUNATAK_EDGE_SERVICE_HOST": "10.96.0.7",
        "NUNATAK_EDGE_SERVICE_PORT": "80",
        "NUNATAK_EDGE_PORT": "tcp://x",
    }
    with pytest.raises(OperatorError, match="enableServiceLinks") as caught:
        load_config(None, NEEDED, links)
    assert "\n" not in str(caught.value)
    assert load_config(None, NEEDED, {"NUNATAK_EDGE_SERVICE_HOST": "a.test"}).service_host == "a.test"


def test_the_printed_file_says_the_same_and_who_said_it(tmp_path: Path) -> None:
    file, printed = tmp_path / "edge.toml", tmp_path / "printed.toml"
    file.write_text(FORMS)
    config, settings = load_settings(file, {**NEEDED, "log": 'a "log"\\ \x7f'}, {"NUNATAK_EDGE_WEDGED": "0.5"})
    text = settings.to_toml(config)
    printed.write_text(text)
    assert load_config(printed, {}) == config
    lines = text.splitlines()
    assert f'image_memory = "64MiB"  # {file}:3' in lines
    assert 'wedged = "500ms"  # NUNATAK_EDGE_WEDGED' in lines
    assert 'origin = "http://127.0.0.1:1"  # --origin' in lines
    assert 'negative = "1s"  # default' in lines
    assert len(lines) == len(options())


def test_what_must_be_given_is_named() -> None:
    with pytest.raises(OperatorError, match=r"--origin, --trust, --cache must be given"):
        load_config(None, {})


def test_help_shows_every_option_with_its_default() -> None:
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, ["edge", "--help"])
    assert result.exit_code == 0
    words = " ".join(result.output.split())
    for option in options():
        assert option.flag in words
    assert "[default: 256MiB]" in words
    assert isinstance(app, typer.Typer)


def test_the_command_refuses_before_it_starts_anything() -> None:
    result = CliRunner().invoke(app, ["edge", "--origin", "http://127.0.0.1:1"])
    assert isinstance(result.exception, OperatorError)
    assert "--trust, --cache must be given" in str(result.exception)
