from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, Engine, inspect, text

from vestiary.errors import LedgerError
from vestiary.ledger import open_ledger
from vestiary.ledger.opening import WRITES, connect, migrate, resolve_url
from vestiary.ledger.schema import SCHEMA_VERSION, metadata

ROWS: dict[str, dict[str, object]] = {
    "jobs": {
        "id": "j1",
        "kind": "batch",
        "source": "photos",
        "out": "out",
        "bundle": "f",
        "options": "{}",
        "state": "stopped",
        "started_at": "2026-01-01 00:00:00+00",
        "n_done": 1,
        "n_failed": 0,
    },
    "job_items": {"job_id": "j1", "position": 0, "name": "a.jpg", "identity": "9f2c", "state": "done", "attempts": 1},
    "predictions": {
        "id": "p1",
        "at": "2026-01-01 00:00:00+00",
        "source": "batch",
        "name": "a.jpg",
        "bundle": "f",
        "bundle_name": "tiny",
        "accepted": True,
        "tags": "{}",
    },
    "failures": {
        "id": "f1",
        "at": "2026-01-01 00:00:00+00",
        "source": "batch",
        "name": "b.jpg",
        "code": "damaged",
        "message": "It is cut short.",
        "attempts": 3,
        "quarantined": True,
    },
    "verdicts": {
        "id": "v1",
        "prediction_id": "p1",
        "attribute": "season",
        "value": "Summer",
        "previous_value": "Winter",
        "reviewer": "ada",
        "at": "2026-01-01 00:00:00+00",
    },
}
"""A row of each table as the first version wrote it."""


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    engine = connect(resolve_url(ledger_url))
    yield engine
    engine.dispose()


def move(engine: Engine, version: int) -> None:
    with engine.execution_options(**{WRITES: True}).begin() as connection:
        migrate(connection, version)


def write_rows(connection: Connection) -> None:
    for name, row in ROWS.items():
        marks = ", ".join(f":{column}" for column in row)
        connection.execute(text(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({marks})"), row)


def read_rows(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    with engine.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(text(f"SELECT {', '.join(row)} FROM {name}"))]
            for name, row in ROWS.items()
        }


def test_every_step_up_and_down_keeps_what_is_there(engine: Engine) -> None:
    move(engine, 1)
    with engine.begin() as connection:
        write_rows(connection)
    before = read_rows(engine)
    assert all(len(rows) == 1 for rows in before.values())
    up, down = range(2, SCHEMA_VERSION + 1), range(SCHEMA_VERSION - 1, 0, -1)
    for version in (*up, *down, SCHEMA_VERSION, 1, SCHEMA_VERSION):
        move(engine, version)
        assert read_rows(engine) == before, f"at schema {version}"
    move(engine, 0)
    with engine.connect() as connection:
        assert not set(inspect(connection).get_table_names()) & set(ROWS)
    move(engine, SCHEMA_VERSION)
    assert all(not rows for rows in read_rows(engine).values())


def test_a_ledger_of_the_first_version_is_brought_to_this_one_and_can_be_used(engine: Engine, ledger_url: str) -> None:
    move(engine, 1)
    with engine.begin() as connection:
        write_rows(connection)
    with open_ledger(ledger_url) as ledger:
        [prediction] = ledger.predictions()
        assert (prediction.name, prediction.at.isoformat()) == ("a.jpg", "2026-01-01T00:00:00+00:00")
        assert ledger.describe()["rows"] == dict.fromkeys(ROWS, 1) | {"claims": 0}
        assert ledger.describe()["schema"] == SCHEMA_VERSION


def test_a_job_that_ended_well_before_keeps_when_that_was(engine: Engine, ledger_url: str) -> None:
    move(engine, 2)
    with engine.begin() as connection:
        for state in ("finished", "failed"):
            row = ROWS["jobs"] | {"id": state, "state": state, "ended_at": "2026-01-02 03:00:00+00"}
            marks = ", ".join(f":{column}" for column in row)
            connection.execute(text(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({marks})"), row)
    with open_ledger(ledger_url) as ledger:
        found = {job.id: job.last_finished_at for job in ledger.jobs()}
    assert found == {"finished": datetime(2026, 1, 2, 3, tzinfo=UTC), "failed": None}


def test_the_tables_are_those_that_the_code_knows(engine: Engine) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    move(engine, SCHEMA_VERSION)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert not compare_metadata(context, metadata)


def test_a_step_that_fails_leaves_the_ledger_as_it_was(engine: Engine) -> None:
    move(engine, 1)
    with engine.begin() as connection:
        write_rows(connection)
        connection.execute(text("CREATE INDEX predictions_by_request ON predictions (name)"))
    before = read_rows(engine)
    with pytest.raises(Exception, match="predictions_by_request"):
        move(engine, 2)
    assert read_rows(engine) == before
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "0001"
        assert "request_id" not in {column["name"] for column in inspect(connection).get_columns("predictions")}


def test_several_may_open_a_new_ledger_at_once(ledger_url: str) -> None:
    faults: list[BaseException] = []
    gate = threading.Barrier(4)

    def work() -> None:
        try:
            gate.wait()
            open_ledger(ledger_url).close()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_a_ledger_of_a_newer_version_is_refused_with_both_numbers(ledger_url: str) -> None:
    with open_ledger(ledger_url) as ledger, ledger.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    with pytest.raises(LedgerError, match=rf"schema 99, but this Vestiary knows schemas up to {SCHEMA_VERSION}; use a"):
        open_ledger(ledger_url)


FOREIGN = ("CREATE TABLE jobs (id TEXT)", "CREATE TABLE alembic_version (version_num TEXT)")


@pytest.mark.parametrize("statement", FOREIGN)
def test_a_database_of_something_else_is_left_alone(engine: Engine, ledger_url: str, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))
        if "alembic" in statement:
            connection.execute(text("INSERT INTO alembic_version VALUES ('ab12')"))
    with pytest.raises(LedgerError, match="holds tables of something else; give the ledger one of its own"):
        open_ledger(ledger_url)


def test_every_table_has_a_row_in_these_tests() -> None:
    assert {*ROWS, "claims"} == set(metadata.tables)


def test_claims_go_with_the_step_back_and_with_their_prediction(engine: Engine, ledger_url: str) -> None:
    with open_ledger(ledger_url) as ledger, ledger.writing() as connection:
        write_rows(connection)
        for reviewer in ("ada", "bob"):
            claim = {"id": "p1", "reviewer": reviewer, "at": "2026-01-01 00:00:00+00"}
            columns = "prediction_id, reviewer, state, at, until"
            connection.execute(text(f"INSERT INTO claims ({columns}) VALUES (:id, :reviewer, 'held', :at, :at)"), claim)
    before = read_rows(engine)
    move(engine, 3)
    assert read_rows(engine) == before
    with engine.connect() as connection:
        assert "claims" not in inspect(connection).get_table_names()
    with open_ledger(ledger_url) as ledger, ledger.writing() as connection:
        assert connection.execute(text("SELECT count(*) FROM claims")).scalar() == 0
