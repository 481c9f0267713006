"""The page of the piping in Chromium: what is chosen is shown everywhere, what-ifs change the plan, it fits a phone."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Route, expect

from tests.api.test_pages_browser import PHONE, Open, browser, server, visit

pytestmark = pytest.mark.browser
__all__ = ["browser", "server", "visit"]


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """A what-if is a new assessment: seconds on a busy machine."""
    expect.set_options(timeout=40_000)
    yield
    expect.set_options(timeout=5_000)


def test_map_ranking_plan_and_point_show_the_same(visit: Open) -> None:
    here = visit()
    here.open("#/corrosion")
    page = here.page
    page.wait_for_selector(".plan-list li")
    expect(page.locator(".spot")).to_have_count(67)
    assert page.locator(".spot.is-planned").count() == page.locator(".plan-list li").count() == 12
    first = page.locator(".corrosion-ranking tbody tr").first
    name = first.locator("a").inner_text()
    expect(page.locator(".point-name")).to_have_text(name)
    expect(page.locator(".spot[aria-current]")).to_have_count(1)
    other = page.locator(".plan-list li").nth(3).locator("strong").inner_text()
    page.locator(".plan-list li a").nth(3).click()
    expect(page.locator(".point-name")).to_have_text(other)
    assert other in page.url
    page.reload()
    expect(page.locator(".point-name")).to_have_text(other)
    spot = page.locator(".spot").nth(10)
    spot.click(position={"x": 5, "y": 20}, force=True)
    expect(page.locator(".point-name")).not_to_have_text(other)
    assert here.errors == []


def test_budget_and_coating_change_the_plan(visit: Open) -> None:
    here = visit()
    here.open("#/corrosion")
    page = here.page
    page.wait_for_selector(".plan-list li")
    page.fill("#budget", "4")
    expect(page.locator(".plan-list li")).to_have_count(4)
    expect(page.locator(".spot.is-planned")).to_have_count(4)
    lines = [page.locator("#coat option").nth(n).get_attribute("value") for n in range(1, 9)]
    for line in lines:
        page.select_option("#coat", line)
    expect(page.locator(".coat").first).to_contain_text(f"{lines[0]} coated anew")
    expect(page.locator(".plan-effect .is-changed").first).to_contain_text("→")
    for _ in lines:
        page.locator(".coat").first.click()
    expect(page.locator(".coat")).to_have_count(0)
    expect(page.locator(".plan-effect .is-changed")).to_have_count(0)
    page.select_option("#acceptable", "0.001")
    expect(page.locator(".plan-list li")).to_have_count(4)
    assert here.errors == []


@pytest.mark.parametrize("locale", ["en-US", "ja-JP"])
def test_it_fits_a_phone_in_both_languages(visit: Open, locale: str) -> None:
    phone = visit(PHONE, locale)
    phone.open("#/corrosion")
    page = phone.page
    page.wait_for_selector(".plan-list li")
    assert phone.overflow() <= 0
    expect(page.locator(".thickness")).to_be_visible()
    text = page.inner_text("main")
    assert bool(re.search(r"[\u3040-\u30ff]", text)) == (locale == "ja-JP")
    assert phone.errors == []


def test_an_unknown_point_says_so(visit: Open) -> None:
    here = visit()
    here.open("#/corrosion/nothing")
    expect(here.page.locator(".corrosion-point .error")).to_contain_text("There is no point 'nothing'.")


def test_lines_that_are_not_drawn_are_told(visit: Open) -> None:
    """A map of 500 lines is no map of a plant of 700, unless it says so."""
    here = visit()
    here.open("#/corrosion")
    page = here.page
    page.wait_for_selector(".plan-list li")
    expect(page.locator(".corrosion-map > p.muted")).to_be_hidden()

    def many(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "total": answer.json()["total"] + 200})

    page.route("**/api/v1/corrosion/lines*", many)
    page.reload()
    expect(page.locator(".corrosion-map > p.muted")).to_contain_text("200 more lines")
    assert here.errors == []
