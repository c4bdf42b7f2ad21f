"""Engines for the tests of jobs, and a small table that shows how often an effect happened."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from donorportal.db import tune
from tests.jobs.effects import effect_table


@pytest.fixture
def engine(engine_url: str) -> Iterator[sa.Engine]:
    """An engine on a database of the test's own, with the table of effects in it."""
    engine = sa.create_engine(engine_url)
    tune(engine)
    with engine.begin() as connection:
        effect_table.create(connection)
    yield engine
    engine.dispose()
