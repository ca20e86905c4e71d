"""What a run of the chain asks of the database grows neither with the days that are stored, nor
in statements with the routes that there are. Counted, not timed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from monitoring.alerts.history import update_alerts
from monitoring.evaluation import score_policies
from monitoring.policy.loader import load_policies
from monitoring.window import Window
from sqlalchemy import Engine, event, text

import include
from benchmarks.history_cost import NOW, WINDOW, collect, lines
from benchmarks.history_fill import fill
from benchmarks.run_cost import Meter
from userdb.store import Store, open_store
from userdb.times import to_minute

FEW, MANY = 10, 200
#: What a server is asked besides to load more than 200 rows at once, into each of two tables.
OF_LOADING = 6
#: Six policies look at the newest minutes of each route and for its last sample, and at the ledger.
#: Two days of minutes of ten routes, each looked at once, are more; in the unit of ``Asked.work``.
MOST_OF_FEW = {"sqlite": 2_000, "mariadb": 20_000}
MOST_OF_A_ROUTE = {"sqlite": 25, "mariadb": 250}
#: Instructions of SQLite between two calls of its progress handler.
_INSTRUCTIONS = 100


@dataclass(frozen=True)
class Asked:
    """Statements of a run, and what the database did for them, collecting left out of the work:
    on a server rows looked at, of SQLite hundreds of instructions."""

    statements: float
    work: int


class Work:
    """Counts what the database does, in this process or on a server that nobody else uses."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._steps = 0
        if store.is_sqlite:
            self._watch(store.engine)

    def _watch(self, engine: Engine) -> None:
        @event.listens_for(engine, "checkout")
        def _on_checkout(connection: object, *_: object) -> None:
            connection.set_progress_handler(self._step, _INSTRUCTIONS)  # type: ignore[attr-defined]

    def _step(self) -> int:
        self._steps += 1
        return 0

    def read(self) -> int:
        if self._store.is_sqlite:
            return self._steps
        with self._store.read() as connection:
            rows = connection.execute(text("SHOW GLOBAL STATUS LIKE 'Handler\\_read\\_%'")).all()
        return sum(int(row[1]) for row in rows)


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def asked(request: pytest.FixtureRequest, kind: str, tmp_path: Path):
    """By routes and days of history: what the third of three runs asks of the database."""

    def run(routes: int, days: int) -> Asked:
        folder = tmp_path / f"{routes}-{days}"
        folder.mkdir()
        if kind == "sqlite":
            url = f"sqlite:///{folder}/userdb.sqlite"
            template = request.getfixturevalue("sqlite_template")
            (folder / "userdb.sqlite").write_bytes(template.read_bytes())
        else:
            url = request.getfixturevalue("mariadb_server").create_userdb("userdb_run_cost")
        policies = load_policies(Path(include.__path__[0]) / "policies" / "requests.yaml")
        names = [policy.name for policy in policies.policies]
        store = open_store(url)
        meter, work = Meter(store, None), Work(store)
        (folder / "access.log").write_text("".join(lines(routes, NOW, 15, rate=2)))
        collect(store, folder, Window(NOW, NOW + WINDOW))
        fill(store, days, to_minute(NOW), names, whole_days=0, older_rows=30_000)
        for number in (1, 2):
            window = Window(NOW + number * WINDOW, NOW + (number + 1) * WINDOW)
            began = meter.read()
            collect(store, folder, window)
            collected = work.read()
            scores = score_policies(window, store, now=window.end, loaded=policies)
            alerts = update_alerts(store, now=window.end)
            assert not scores.errors
            assert not alerts.errors
        found = Asked(meter.read().since(began).statements, work.read() - collected)
        store.close()
        return found

    return run


def test_a_run_asks_no_more_where_more_days_are_stored(asked) -> None:
    two_days, six_days = asked(FEW, 2), asked(FEW, 6)
    assert six_days.statements == two_days.statements
    assert six_days.work < 1.1 * two_days.work


def test_more_routes_are_no_more_statements_and_a_few_rows_more(asked, kind) -> None:
    few, many = asked(FEW, 2), asked(MANY, 2)
    assert many.statements <= few.statements + OF_LOADING
    assert few.work < MOST_OF_FEW[kind]
    assert (many.work - few.work) / (MANY - FEW) < MOST_OF_A_ROUTE[kind]
