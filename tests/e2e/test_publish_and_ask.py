"""Publish and ask at once: an edge that has just looked at the catalogue looks again for a name it does not know."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loadtest.site.fetch import Client
from loadtest.site.site import Site, example
from origin.keys import load_signer, load_token, load_trust
from origin.publish.client import carry_out
from origin.publish.image_files import publication, read_image
from origin.publish.publish import publish

SERVICES = 100


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An edge that would otherwise look at the catalogue once an hour, and remembers for a minute what led nowhere."""
    config = {"refresh": 3600, "negative": 60}
    with Site(tmp_path_factory.mktemp("patient"), edge_config=config) as site:
        yield site


def publish_here(site: Site, image: Path, service: str) -> None:
    """As `nunatak publish`, without a process for each."""
    publications = [publication(image, read_image(image), service, [f"{service}.test"], [])]
    exchange = publish(publications, load_trust(site.keys), load_signer(site.keys, "publisher"), datetime.now(UTC))
    carry_out(exchange, url=site.origin.url, token=load_token(site.keys / "token"))


def test_a_hundred_services_answer_as_soon_as_they_are_published(patient: Site) -> None:
    image = patient.build(example("hello"))
    with Client(patient.edges[0].url) as client:
        for number in range(SERVICES):
            publish_here(patient, image, f"new-{number}")
            assert client.get("/", host=f"new-{number}.test").status == 200, number


def test_a_service_answers_that_was_asked_for_before_it_was_published(patient: Site) -> None:
    image = patient.build(example("hello"))
    with Client(patient.edges[0].url) as client:
        assert client.get("/", host="early.test").status == 421
        publish_here(patient, image, "early")
        assert client.get("/", host="early.test").status == 200
