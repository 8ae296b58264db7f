from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from vnpulse.errors import SettingsError
from vnpulse.messages import VIETNAM, NewsItem
from vnpulse.sentiment.settings import SentimentSettings
from vnpulse.sentiment.symbols import SymbolFinder

FINDER = SymbolFinder.load(SentimentSettings().companies)
NOW = dt.datetime(2025, 7, 28, 9, tzinfo=VIETNAM)

_SAMPLE = (
    "ACB BCM BID BSR CTG DGC DGW DIG FPT GAS GEX GVR HAG HCM HDB HPG HSG KBC LPB MBB MSN MWG NKG NVL"
    " PDR PLX PNJ PVD PVS SAB SHB SHS SSI STB TCB TPB VCB VCI VHM VIB VIC VIX VJC VND VNINDEX VNM VPB VRE"
)


def article(title: str, content: str = "", symbol: str | None = None, tags: tuple[str, ...] = ()) -> NewsItem:
    return NewsItem(
        news_id="n",
        symbol=symbol,
        title=title,
        content=content,
        source="s",
        source_url="u",
        published_at=NOW,
        collected_at=NOW,
        tags=list(tags),
    )


def test_the_file_holds_the_48_symbols_and_their_exchanges() -> None:
    assert sorted(FINDER.companies) == _SAMPLE.split()
    assert {s for s, c in FINDER.companies.items() if c.exchange == "HNX"} == {"SHS", "PVS"}
    assert {c.exchange for c in FINDER.companies.values()} == {"HOSE", "HNX"}


@pytest.mark.parametrize(
    ("title", "symbols"),
    [
        ("HPG tăng trần", ("HPG",)),
        ("(HOSE: VIC) và VHM; cả SHB.", ("VIC", "VHM", "SHB")),
        ("Hoà Phát và Hòa Phát", ("HPG",)),
        ("VINAMILK mở nhà máy", ("VNM",)),
        ("Thế giới Di động khai trương", ("MWG",)),
        ("PV GAS ký hợp đồng", ("GAS",)),
        ("Giá GAS đóng cửa tăng", ("GAS",)),
        ("VN-Index tăng, VIC dẫn đầu", ("VNINDEX", "VIC")),
        ("Chứng khoán SSI báo lãi", ("SSI",)),
        ("Sở GDCK TP.HCM nhận hồ sơ, cổ phiếu HCM tăng", ("HCM",)),
        ("Huy động 500 tỷ VND, cổ phiếu VND tăng", ("VND",)),
        ("Cổ phiếu VND (VNDIRECT)", ("VND",)),
    ],
)
def test_named_symbols(title: str, symbols: tuple[str, ...]) -> None:
    assert FINDER.symbols_of(article(title)) == symbols


@pytest.mark.parametrize(
    "title",
    [
        "VICEM giảm chi phí",
        "Xây metro ở TP HCM",
        "Xây metro ở TP.HCM",
        "TP. HCM mở tuyến buýt",
        "Thành phố HCM họp",
        "Vốn 1.000 tỷ VND",
        "Giá 100 VND mỗi cổ phần",
        "Tỷ giá USD/VND đi ngang",
        "Cặp VND/USD",
        "Lãi suất VND giảm",
        "hpg viết thường",
        "HPGX không phải mã",
        "FPT Retail mở nhà thuốc",
        "Chứng khoán FPT tư vấn",
        "HAGL Agrico họp cổ đông",
        "Chỉ số VIX của Mỹ giảm",
        "SSI Research: triển vọng ngành điện",
        "Becamex IJC báo cáo",
        "hoa sen nở rộ ở đồng bằng",
        "Giá vàng ít thay đổi",
    ],
)
def test_false_friends_leave_the_market(title: str) -> None:
    assert FINDER.symbols_of(article(title)) == ("VNINDEX",)


def test_the_own_symbol_comes_first_even_if_unknown() -> None:
    assert FINDER.symbols_of(article("HPG tăng", symbol="VIC")) == ("VIC", "HPG")
    assert FINDER.symbols_of(article("Tin vắn", symbol="XYZ")) == ("XYZ",)


def test_headline_then_body_then_tags_each_symbol_once() -> None:
    item = article("VIB họp", "Cùng ngày ACB và VIB họp.", tags=("TCB", "ACB", "sample", "VIC vs VHM"))
    assert FINDER.symbols_of(item) == ("VIB", "ACB", "TCB")


def test_two_symbols_with_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "companies.yaml"
    path.write_text(
        "market: {symbol: VNINDEX, exchange: HOSE, name: VN-Index}\n"
        "companies:\n"
        "  - {symbol: AAA, exchange: HOSE, name: A, aliases: [Alpha]}\n"
        "  - {symbol: BBB, exchange: HNX, name: B, aliases: [Alpha]}\n",
        encoding="utf-8",
    )
    with pytest.raises(SettingsError, match="'Alpha' names both AAA and BBB"):
        SymbolFinder.load(path)
