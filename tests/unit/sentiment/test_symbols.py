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


_NAMESAKES = "BIC BSI CEO CTS FOX FRT FTS GEE HNG IJC MCH MSR PGI TDC"
"""Not in the sample, but their names contain another company's, or their ticker is a word."""


def test_the_file_holds_the_48_symbols_and_their_exchanges() -> None:
    assert sorted(FINDER.companies) == sorted([*_SAMPLE.split(), *_NAMESAKES.split()])
    hnx = {s for s, c in FINDER.companies.items() if c.exchange == "HNX" and s in _SAMPLE.split()}
    assert hnx == {"SHS", "PVS"}


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
        ("FPT Retail mở nhà thuốc", ("FRT",)),
        ("Chuỗi FPT Shop đóng bớt cửa hàng", ("FRT",)),
        ("Chứng khoán FPT tư vấn", ("FTS",)),
        ("FPT và FPT Retail cùng tăng", ("FPT", "FRT")),
        ("HAGL Agrico họp cổ đông", ("HNG",)),
        ("Becamex IJC báo cáo", ("IJC",)),
        ("Cổ phiếu CEO tăng kịch trần", ("CEO",)),
        ("Tập đoàn C.E.O (HNX: CEO) báo lãi", ("CEO",)),
        ("CEO Group khởi công khu nghỉ dưỡng", ("CEO",)),
        ("Chứng khoán BIDV báo lãi, BIDV họp", ("BSI", "BID")),
        ("Mã chứng khoán HDB bị bán mạnh", ("HDB",)),
        ("SSI báo lãi quý kỷ lục", ("SSI",)),
        ("Chủ tịch SSI mua vào", ("SSI",)),
        ("TPBank (TPB) mở phòng giao dịch", ("TPB",)),
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
        "Chỉ số VIX của Mỹ giảm",
        "Cựu CEO một hãng xe lên tiếng",
        "Tổng giám đốc (CEO) từ nhiệm",
        "Ông Nam, CEO công ty may, CFO công ty giày",
        "Theo SSI, thị trường còn giằng co",
        "Vietcap dự báo ngành thép chậm lại",
        "Vietcap: ngành thép chậm lại",
        "Chuyên gia SHS: nên chờ",
        "Đồng USD tăng so với VND",
        "Lãi suất bình quân VND đi ngang",
        "Giá gas bán lẻ tăng từ tháng sau",
        "Chứng khoán HDBank tăng vốn",
        "ACB Leasing mở chi nhánh",
        "SSI Research: triển vọng ngành điện",
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


def test_an_article_about_one_symbol_is_all_about_it() -> None:
    assert FINDER.weights_of(article("HPG tăng", "Hòa Phát lãi. Thép Hòa Phát bán chạy.")) == {"HPG": 1.0}
    assert FINDER.weights_of(article("Thị trường lặng sóng")) == {"VNINDEX": 1.0}


def test_the_headline_counts_more_than_the_body_and_the_early_more_than_the_late() -> None:
    weights = FINDER.weights_of(article("Vinamilk vượt xa Sabeco", "x" * 400 + " Masan đứng ngoài."))
    assert list(weights) == ["VNM", "SAB", "MSN"]
    assert weights["VNM"] > weights["SAB"] > 2 * weights["MSN"] > 0


def test_more_mentions_count_more_up_to_a_number() -> None:
    once, often, always = (
        FINDER.weights_of(article("Vinamilk họp", "x" * 400 + " Sabeco." * n))["SAB"] for n in (1, 4, 40)
    )
    assert once < often < always < FINDER.weights_of(article("Vinamilk họp"))["VNM"]


def test_a_list_gives_each_a_little() -> None:
    weights = FINDER.weights_of(article("Đáng chú ý: ACB, BID, CTG, FPT, GAS, HPG, MBB, MSN, MWG"))
    assert len(weights) == 9
    assert all(0.2 < weight < 0.5 for weight in weights.values())


def test_the_own_symbol_leads_though_another_is_in_the_headline() -> None:
    weights = FINDER.weights_of(article("Hòa Phát tăng giá thép", symbol="NKG"))
    assert weights["NKG"] > weights["HPG"] > 0.3


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
