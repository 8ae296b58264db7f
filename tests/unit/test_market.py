"""Ticks and limits, in thousand VND, exact in whole VND."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnpulse.errors import SettingsError
from vnpulse.market import load_market

MARKET = load_market()
LIMIT = {"HOSE": 7, "HNX": 10, "UPCoM": 15}


@pytest.mark.parametrize(
    ("exchange", "price", "tick"),
    [
        ("HOSE", 0.01, 10),
        ("HOSE", 9.99, 10),
        ("HOSE", 10.0, 50),
        ("HOSE", 49.95, 50),
        ("HOSE", 50.0, 100),
        ("HOSE", 250.0, 100),
        ("HNX", 0.5, 100),
        ("HNX", 60.0, 100),
        ("UPCoM", 9.9, 100),
    ],
)
def test_tick_sizes_change_at_10_000_and_50_000_vnd(exchange: Any, price: float, tick: int) -> None:
    assert MARKET.tick_vnd(exchange, price) == tick


@pytest.mark.parametrize(
    ("exchange", "reference", "floor", "ceiling"),
    [
        pytest.param("HOSE", 85.5, 79.6, 91.4, id="the example: 79,515 up and 91,485 down to 100"),
        pytest.param("HOSE", 100.0, 93.0, 107.0, id="on the grid already"),
        pytest.param("HOSE", 50.0, 46.5, 53.5, id="at the border: floor in ticks of 50"),
        pytest.param("HOSE", 49.95, 46.5, 53.4, id="ceiling beyond the border: 53,446.5 down to 100"),
        pytest.param("HOSE", 10.0, 9.3, 10.7, id="at the border: floor in ticks of 10"),
        pytest.param("HOSE", 9.99, 9.3, 10.65, id="9,290.7 up to 10, 10,689.3 down to 50"),
        pytest.param("HOSE", 9.35, 8.7, 10.0, id="ceiling 10,004.5: ticks of 50 from 10,000"),
        pytest.param("HOSE", 22.35, 20.8, 23.9, id="20,785.5 up to 50, 23,914.5 down to 50"),
        pytest.param("HNX", 14.3, 12.9, 15.7, id="12,870 up and 15,730 down to 100"),
        pytest.param("UPCoM", 25.7, 21.9, 29.5, id="21,845 up and 29,555 down to 100"),
    ],
)
def test_the_limits_of_a_day(exchange: Any, reference: float, floor: float, ceiling: float) -> None:
    assert MARKET.price_limits(exchange, reference) == (floor, ceiling)


@pytest.mark.parametrize(
    ("exchange", "price", "direction", "rounded"),
    [
        ("HOSE", 25.023, "nearest", 25.0),
        ("HOSE", 25.025, "nearest", 25.05),
        ("HOSE", 25.049, "down", 25.0),
        ("HOSE", 25.001, "up", 25.05),
        ("HOSE", 85.55, "nearest", 85.6),
        ("HOSE", 9.996, "nearest", 10.0),
        ("HOSE", 49.99, "up", 50.0),
        ("HOSE", 0.1 + 0.2, "nearest", 0.3),
        ("HOSE", 1.1 * 3, "down", 3.3),
        ("HOSE", 8.2 - 0.01, "nearest", 8.19),
        ("HNX", 14.35, "nearest", 14.4),
        ("HNX", 14.25, "nearest", 14.3),
    ],
)
def test_rounding_to_the_tick_is_exact_whatever_binary_fractions_make_of_it(
    exchange: Any, price: float, direction: Any, rounded: float
) -> None:
    assert MARKET.round_to_tick(exchange, price, direction) == rounded


@pytest.mark.parametrize("direction", ["nearest", "down", "up"])
@given(vnd=st.integers(1, 50_000))
def test_a_price_on_the_grid_stays_where_it_is(direction: Any, vnd: int) -> None:
    price = vnd * 10 / 1000
    on_grid = vnd * 10 % MARKET.tick_vnd("HOSE", price) == 0
    rounded = MARKET.round_to_tick("HOSE", price, direction)
    assert (rounded == price) is on_grid


@given(st.sampled_from(["HOSE", "HNX", "UPCoM"]), st.floats(0.5, 2_000))
def test_rounded_prices_are_on_the_grid_and_within_a_tick(exchange: Any, price: float) -> None:
    down = MARKET.round_to_tick(exchange, price, "down")
    nearest = MARKET.round_to_tick(exchange, price)
    up = MARKET.round_to_tick(exchange, price, "up")
    assert down <= nearest <= up
    assert down <= price <= up
    assert up - down <= MARKET.tick_vnd(exchange, price) / 1000 + 1e-9
    for rounded in (down, nearest, up):
        assert round(rounded * 1000) == pytest.approx(rounded * 1000, abs=1e-6)
        if rounded > 0:
            assert round(rounded * 1000) % MARKET.tick_vnd(exchange, rounded) == 0


@given(st.sampled_from(["HOSE", "HNX", "UPCoM"]), st.integers(1, 5_000))
def test_no_limit_passes_the_percentage(exchange: Any, ticks: int) -> None:
    reference = ticks * 100 / 1000
    floor, ceiling = MARKET.price_limits(exchange, reference)
    per_cent = LIMIT[exchange]
    vnd = round(reference * 1000)
    assert round(ceiling * 1000) * 100 <= vnd * (100 + per_cent)
    assert round(floor * 1000) * 100 >= vnd * (100 - per_cent)


def test_prices_as_numpy_has_them_are_prices() -> None:
    assert MARKET.round_to_tick("HOSE", np.float64(85.52)) == 85.5
    assert MARKET.price_limits("HOSE", np.float64(85.5)) == (79.6, 91.4)


def test_indices_are_named() -> None:
    assert "VNINDEX" in MARKET.indices


@pytest.mark.parametrize(
    ("ticks", "named"),
    [
        ("[{below: 10000, tick: 10}]", "last step"),
        ("[{tick: 10}, {tick: 50}]", "last step"),
        ("[]", "last step"),
        ("[{below: 50000, tick: 50}, {below: 10000, tick: 10}, {tick: 100}]", "ascend"),
        ("[{below: 50000, tick: 50}, {below: 50000, tick: 10}, {tick: 100}]", "ascend"),
        ("[{tick: 0}]", "was 0"),
    ],
)
def test_tick_tables_that_make_no_sense_are_refused(tmp_path: Path, ticks: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load_market(_market(tmp_path, ticks=ticks))


@pytest.mark.parametrize(
    ("phases", "named"),
    [
        ("[]", "at least 1 item"),
        ('[{kind: ato, begin: "09:15", end: "09:00"}]', r"end was 09:00, must be after begin \(09:15\)"),
        ('[{kind: ato, begin: "9:00", end: "09:15"}]', "begin"),
        ('[{kind: ato, begin: "09:00", end: "24:00"}]', "end"),
        ('[{kind: lunch, begin: "11:30", end: "13:00"}]', "lunch"),
        (
            '[{kind: ato, begin: "09:00", end: "09:15"}, {kind: atc, begin: "09:10", end: "09:20"}]',
            "phases: atc begins at 09:10, before 09:15",
        ),
    ],
)
def test_phases_that_make_no_sense_are_refused(tmp_path: Path, phases: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load_market(_market(tmp_path, phases=phases))


def test_stretches_of_trading_end_at_noon_and_not_between_phases() -> None:
    hour = 3_600_000
    assert MARKET.exchanges["HOSE"].blocks() == ((9 * hour, 11.5 * hour), (13 * hour, 14.75 * hour))
    assert MARKET.exchanges["UPCoM"].blocks() == ((9 * hour, 11.5 * hour), (13 * hour, 15 * hour))


def test_only_hose_opens_with_an_auction() -> None:
    auction = MARKET.exchanges["HOSE"].opening_auction
    assert auction is not None
    assert (auction.begin, auction.end) == ("09:00", "09:15")
    assert MARKET.exchanges["HNX"].opening_auction is MARKET.exchanges["UPCoM"].opening_auction is None


def _market(
    folder: Path,
    ticks: str = "[{tick: 100}]",
    phases: str = '[{kind: continuous, begin: "09:00", end: "15:00"}]',
) -> Path:
    path = folder / "market.yaml"
    path.write_text(
        f"as_of: '2025-07-01'\nindices: []\nexchanges:\n  HOSE: {{price_limit_pct: 7, reference: close,"
        f" phases: {phases}, ticks: {ticks}}}\n"
    )
    return path
