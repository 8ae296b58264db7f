"""Two links of one article are one."""

from __future__ import annotations

import pytest

from vnpulse.collection.links import canonical_url, news_id


@pytest.mark.parametrize(
    "link",
    [
        "https://cafef.vn/vcb-tang-von-188.chn",
        "http://www.CafeF.vn/vcb-tang-von-188.chn",
        "https://cafef.vn:443/vcb-tang-von-188.chn/",
        "https://cafef.vn/vcb-tang-von-188.chn?utm_source=rss&utm_medium=feed&fbclid=x#comments",
        " https://cafef.vn/vcb%2Dtang%2Dvon-188.chn ",
    ],
)
def test_what_does_not_name_the_article_is_left_out(link: str) -> None:
    assert canonical_url(link) == "https://cafef.vn/vcb-tang-von-188.chn"
    assert news_id(link) == news_id("https://cafef.vn/vcb-tang-von-188.chn")


def test_what_names_it_is_kept() -> None:
    assert canonical_url("https://a.vn/x?id=2&b=1") == "https://a.vn/x?b=1&id=2"
    assert news_id("https://a.vn/x?id=1") != news_id("https://a.vn/x?id=2")


@pytest.mark.parametrize("text", ["", "not a link", "http://[broken", "mailto:a@b.vn", "https://a:port/x"])
def test_no_link_is_no_error(text: str) -> None:
    assert canonical_url(text) == text
