"""SeriesDirectory on a real server: complete whoever writes, and whenever they die."""

from __future__ import annotations

import subprocess
import sys
import threading

from tests.integration.market import minute_ms
from tests.integration.store.conftest import batch, minutes
from tests.integration.trial import ROOT, Trial
from vnpulse.batches import Series
from vnpulse.messages import DAY_MS
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect
from vnpulse.store.series import SeriesDirectory


def latest_symbols(bars: BarStore) -> list[str]:
    return sorted(series.symbol for one in bars.latest_bars(("1m",), 5) for series in one.series)


def test_a_span_grows_with_what_is_included(trial: Trial) -> None:
    directory = SeriesDirectory(trial.database()["series"])
    assert directory.span("1m") is None
    directory.include([(Series("VCB", "1m"), "2025-07-28"), (Series("FPT", "1m"), "2025-07-30")])
    directory.include([(Series("HPG", "1m"), "2025-07-29"), (Series("VCB", "1d"), "2025-07-01")])
    assert directory.span("1m") == (["FPT", "HPG", "VCB"], "2025-07-28", "2025-07-30")
    assert directory.span("1d") == (["VCB"], "2025-07-01", "2025-07-01")


def test_what_is_known_is_not_written_again(trial: Trial) -> None:
    database = trial.database()
    directory = SeriesDirectory(database["series"])
    places = [(Series("VCB", "1m"), "2025-07-28")]
    directory.include(places)
    database["series"].drop()
    directory.include(places)
    assert directory.span("1m") is None


def test_a_symbol_that_is_listed_but_has_no_bars_does_no_harm(bars: BarStore, trial: Trial) -> None:
    """As a writer leaves it that dies after the directory was written and before the bars were."""
    bars.write([batch(minutes("VCB", 0, 7))])
    directory = SeriesDirectory(trial.database()["series"])
    directory.include([(Series("XYZ", "1m"), "2025-08-30"), (Series("VCB", "1m"), "2001-01-01")])
    (latest,) = bars.latest_bars(("1m",), 5)
    assert latest.series == [Series("VCB", "1m")]
    assert latest.time_ms.tolist() == [minute_ms(i) for i in range(2, 7)]


def test_every_stored_symbol_is_listed_however_a_writer_dies(bars: BarStore, trial: Trial) -> None:
    """A child that stores ever new symbols is killed in the middle of it."""
    code = (
        "import itertools, sys\n"
        "from tests.integration.store.conftest import batch, minutes\n"
        "from vnpulse.store.settings import StoreSettings\n"
        "from vnpulse.store.bars import BarStore\n"
        "from vnpulse.store.connection import connect\n"
        "store = BarStore(connect(StoreSettings(uri=sys.argv[1], database=sys.argv[2])))\n"
        "for number in itertools.count():\n"
        "    store.write([batch(minutes(f'S{number}', 0, 2))])\n"
        "    print(number, flush=True)\n"
    )
    uri, name = trial.stack.mongo_uri, trial.database().name
    with subprocess.Popen(
        [sys.executable, "-c", code, uri, name], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        try:
            for _ in range(20):
                assert writer.stdout.readline()
        finally:
            writer.kill()
    stored = sorted(trial.database()["bars"].distinct("symbol"))
    assert len(stored) >= 20
    assert latest_symbols(bars) == stored


def test_two_writers_at_once_lose_nothing_of_each_other(bars: BarStore, trial: Trial) -> None:
    failed: list[BaseException] = []

    def write(own: str) -> None:
        database = connect(trial.settings.store)
        try:
            store = BarStore(database)
            for i in range(40):
                day_ms = i * DAY_MS if own == "A" else -i * DAY_MS
                store.write([batch([(f"{own}{i}", "1m", minute_ms(0) + day_ms, 10.0)], partition=ord(own))])
        except BaseException as error:
            failed.append(error)
        finally:
            database.client.close()

    writers = [threading.Thread(target=write, args=(own,)) for own in "AB"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failed == []
    span = SeriesDirectory(trial.database()["series"]).span("1m")
    assert span is not None
    assert span.symbols == sorted(f"{own}{i}" for own in "AB" for i in range(40))
    assert (span.first_day, span.last_day) == ("2025-06-19", "2025-09-05")
    assert latest_symbols(bars) == span.symbols


def test_a_store_from_before_there_was_a_directory_gets_a_whole_one(bars: BarStore, trial: Trial) -> None:
    rows = minutes("VCB", 0, 3) + minutes("FPT", 0, 3) + [("VCB", "1d", minute_ms(0), 9.0)]
    bars.write([batch(rows)])
    series = trial.database()["series"]
    whole = [SeriesDirectory(series).span(interval) for interval in ("1m", "1d")]
    series.drop()
    # Who began to list them, and died; and a writer of today.
    SeriesDirectory(series).include([(Series("VCB", "1m"), "2025-07-28")])
    store = BarStore(trial.database())
    store.ensure_indexes()
    assert [SeriesDirectory(series).span(interval) for interval in ("1m", "1d")] == whole
    assert latest_symbols(store) == ["FPT", "VCB"]
