"""The pages in Chromium, on the fake lab: no errors, nothing from elsewhere, what is clicked is what is sent."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from tests.api.fake_server import Server, serving

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
VIEWS = [
    "",
    "#/",
    "#/asset/tep-1",
    "#/asset/line-2",
    "#/asset/press-7",
    "#/control",
    "#/control/tep-1",
    "#/corrosion",
    "#/data",
]
WIDE = (1440, 900)
PHONE = (390, 844)


@dataclass
class Visit:
    """A page with what it complained about and what it asked for."""

    page: Page
    server: Server
    errors: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def open(self, view: str = "") -> None:
        """Go to a view and wait until its heading is there."""
        self.page.goto(f"{self.server.url}/{view}")
        self.page.wait_for_selector("h1")

    def wait(self, condition: str) -> None:
        """Wait until an expression of the page is true (the page's policy forbids Playwright's own way to wait)."""
        for _ in range(200):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"waited in vain for {condition}")

    def overflow(self) -> int:
        """Pixels by which the document is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Open]:
    contexts = []

    def make(size: tuple[int, int] = WIDE, locale: str = "en-US", scheme: str = "light") -> Visit:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            locale=locale,
            color_scheme="dark" if scheme == "dark" else "light",
        )
        contexts.append(context)
        visit = Visit(context.new_page(), server)
        visit.page.on("console", lambda m: visit.errors.append(m.text) if m.type in {"error", "warning"} else None)
        visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
        visit.page.on("request", lambda request: visit.addresses.append(request.url))
        visit.page.set_default_timeout(20_000)
        return visit

    yield make
    for context in contexts:
        context.close()


@pytest.mark.parametrize("view", VIEWS)
def test_views_load_without_complaint_and_ask_only_the_lab(visit: Open, view: str) -> None:
    wide = visit()
    wide.open(view)
    wide.page.wait_for_timeout(1500)
    assert wide.errors == []
    assert wide.addresses
    assert all(address.startswith(wide.server.url + "/") for address in wide.addresses)
    keys = re.findall(r"\bpage\.[a-z_.]+", wide.page.inner_text("body"))
    assert keys == [], "a text is missing in the catalogue"


@pytest.mark.parametrize("locale", ["en-US", "ja-JP"])
def test_no_view_is_wider_than_a_phone(visit: Open, locale: str) -> None:
    phone = visit(PHONE, locale, "dark")
    for view in VIEWS:
        phone.open(view)
        phone.page.wait_for_timeout(700)
        assert phone.overflow() <= 0, view
    phone.open("#/asset/tep-1")
    phone.page.click("#drawer")
    phone.page.wait_for_selector(".drawer .switches li")
    for part in phone.page.query_selector_all(".drawer details:not([open]) summary"):
        part.click()
    inside = "(d => d.scrollWidth - d.clientWidth)(document.querySelector('.drawer'))"
    assert phone.page.evaluate(inside) <= 0
    assert phone.overflow() <= 0
    assert phone.errors == []


def test_language_is_the_browsers_then_the_one_chosen(visit: Open) -> None:
    japanese = visit(locale="ja-JP")
    japanese.open()
    page = japanese.page
    expect(page.locator("html")).to_have_attribute("lang", "ja")
    expect(page.locator("h1")).to_have_text("プラント")
    page.click("#language")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("h1")).to_have_text("Plants")
    page.reload()
    expect(page.locator("h1")).to_have_text("Plants")
    assert japanese.errors == []


def test_theme_follows_the_room_then_the_switch(visit: Open) -> None:
    dark = visit(scheme="dark")
    dark.open()
    expect(dark.page.locator("html")).to_have_attribute("data-theme", "dark")
    dark.page.click("#theme")
    expect(dark.page.locator("html")).to_have_attribute("data-theme", "light")
    dark.page.reload()
    expect(dark.page.locator("html")).to_have_attribute("data-theme", "light")


def test_live_connection_comes_back_and_asks_for_what_it_missed(visit: Open) -> None:
    here = visit()
    here.open()
    here.wait("labPage.live.lastId > 0")
    last = here.page.evaluate("labPage.live.lastId")
    here.server.cut()
    here.wait(f"labPage.live.lastId > {last} && labPage.live.socket.readyState === 1")
    assert len(here.server.wire.asked) == 2
    first, second = here.server.wire.asked
    assert first is None
    assert int(second or 0) >= last


def test_what_no_longer_comes_turns_grey(visit: Open) -> None:
    here = visit()
    here.open()
    expect(here.page.locator(".card[data-key=tep-1] .badge")).to_have_class(re.compile("is-alarm"))
    here.page.wait_for_timeout(2500)
    here.server.lab.silent = True
    expect(here.page.locator(".card[data-key=tep-1] .badge")).to_have_class(re.compile("is-stale"), timeout=15_000)
    here.server.lab.silent = False
    expect(here.page.locator(".card[data-key=tep-1] .badge")).to_have_class(re.compile("is-alarm"), timeout=15_000)


def test_connection_lost_is_said_and_taken_back(visit: Open, server: Server) -> None:
    here = visit()
    here.open()
    here.wait("labPage.live.lastId > 0")
    banner = here.page.locator(".banner")
    expect(banner).to_be_hidden()
    here.page.context.set_offline(True)
    here.server.cut()
    expect(banner).to_be_visible(timeout=15_000)
    here.page.context.set_offline(False)
    expect(banner).to_be_hidden(timeout=15_000)


def sent(visit: Visit, act: Callable[[], None]) -> tuple[str, object]:
    """What a click posts: the path after the plant, and the body."""

    def posts(request: Request) -> bool:
        return request.method == "POST"

    with visit.page.expect_request(posts) as info:
        act()
    return info.value.url.split("/simulators/")[1], info.value.post_data_json


def test_the_desk_sends_what_was_clicked(visit: Open) -> None:
    desk = visit()
    desk.open("#/control/tep-1")
    page = desk.page
    page.wait_for_selector("[data-idv='4']")
    assert sent(desk, lambda: page.click("[data-idv='4']")) == ("tep-1/faults", {"idv": 4, "on": True})
    expect(page.locator("[data-idv='4']")).to_have_attribute("aria-checked", "true")
    assert sent(desk, lambda: page.click("[data-idv='4']")) == ("tep-1/faults", {"idv": 4, "on": False})
    assert sent(desk, lambda: page.click("text=×200")) == ("tep-1/speed", {"speed": 200})
    expect(page.locator("button:has-text('×200')")).to_have_attribute("aria-pressed", "true")
    assert sent(desk, lambda: page.click("#run")) == ("tep-1/speed", {"running": False})
    expect(page.locator("#run")).to_have_text("Run")
    assert sent(desk, lambda: page.click("#run")) == ("tep-1/speed", {"running": True})
    sensor = page.locator(".fault-form").first
    sensor.locator("select").first.select_option("xmeas_9")
    sensor.locator("select").nth(1).select_option("freeze")
    expect(sensor.locator("input")).to_be_disabled()
    sensor.locator("select").nth(1).select_option("drift")
    expect(sensor.locator("p")).to_contain_text("in °C per plant hour")
    sensor.locator("input").fill("3.5")
    body = {"tag": "xmeas_9", "kind": "drift", "size": 3.5, "on": True}
    assert sent(desk, lambda: sensor.locator("button").click()) == ("tep-1/faults", body)
    row = page.locator(".active-faults li")
    expect(row).to_contain_text("Reactor temperature")
    body = {"tag": "xmeas_9", "kind": "drift", "on": False}
    assert sent(desk, lambda: row.locator("button").click()) == ("tep-1/faults", body)
    valve = page.locator(".fault-form").nth(1)
    valve.locator("select").first.select_option("10")
    expect(valve.locator("input")).to_have_value("")
    body = {"xmv": 10, "kind": "stuck", "size": 0, "on": True}
    assert sent(desk, lambda: valve.locator("button").click()) == ("tep-1/faults", body)
    valve.locator("select").nth(1).select_option("slow")
    expect(valve.locator("p")).to_contain_text("times slower")
    body = {"xmv": 10, "kind": "slow", "size": 5, "on": True}
    assert sent(desk, lambda: valve.locator("button").click()) == ("tep-1/faults", body)
    assert desk.errors == []


def test_set_points_valves_and_reset(visit: Open) -> None:
    desk = visit()
    desk.open("#/control/tep-1")
    page = desk.page
    loop = page.locator(".loops li[data-key='9']")
    loop.locator("input").fill("235")
    page.wait_for_timeout(1500)  # the plant's answer of every second must not take the number away
    assert sent(desk, lambda: loop.locator("button[type=submit]").click()) == (
        "tep-1/setpoints",
        {"loop": 9, "value": 235},
    )
    assert sent(desk, lambda: loop.locator("[role=switch]").click()) == ("tep-1/setpoints", {"loop": 9, "manual": True})
    expect(loop.locator("[role=switch]")).to_have_attribute("aria-checked", "true")
    loop.locator("input").fill("55")
    assert sent(desk, lambda: loop.locator("button[type=submit]").click()) == (
        "tep-1/setpoints",
        {"xmv": 9, "value": 55},
    )
    page.fill(".reset input", "7")
    page.click(".reset button")
    assert all(action != "reset" for action, _ in desk.server.lab.posted), "one press is not enough"
    assert sent(desk, lambda: page.click(".reset button")) == ("tep-1/reset", {"seed": 7})


def test_the_desk_shows_the_seed_of_the_run_and_whole_set_points(visit: Open) -> None:
    desk = visit()
    desk.server.lab.status["seed"] = 42
    desk.server.lab.status["setpoints"]["3"] = 0.28731449
    desk.open("#/control/tep-1")
    seed = desk.page.locator(".reset input")
    expect(seed).to_have_value("42")
    seed.fill("7")
    desk.page.wait_for_timeout(1500)
    expect(seed).to_have_value("7")
    seed.fill("")
    desk.page.click(".reset button")
    expect(desk.page.locator(".reset button")).not_to_have_class("is-sure")
    loop = desk.page.locator(".loops li[data-key='3'] input")
    expect(loop).to_have_value("0.287314")
    assert loop.evaluate("(input) => input.scrollWidth - input.clientWidth") <= 0


def test_refusals_are_shown_in_the_plants_own_words(visit: Open) -> None:
    desk = visit()
    desk.server.lab.refuse = "Loop 4 is not in manual."
    desk.open("#/control/tep-1")
    desk.page.click("[data-idv='1']")
    said = desk.page.locator(".control [role=alert]:visible")
    expect(said).to_have_text("Loop 4 is not in manual.")
    for size in (WIDE, PHONE):  # far down the page too
        desk.page.set_viewport_size({"width": size[0], "height": size[1]})
        desk.page.locator(".loops button[type=submit]").last.click()
        expect(said).to_be_in_viewport(ratio=1)


def test_trip_is_announced(visit: Open) -> None:
    desk = visit(locale="ja-JP")
    desk.server.lab.status["tripped"] = "reactor pressure high"
    desk.open("#/control/tep-1")
    expect(desk.page.locator(".trip")).to_contain_text("反応器圧力の上限トリップ")


def test_names_from_the_wire_are_text(visit: Open) -> None:
    here = visit()
    evil = "<img src=x onerror=document.title='owned'>"
    here.server.lab.plants[1].name = evil
    here.server.lab.plants[1].sensors[0].name = evil
    for view in ("#/", "#/asset/line-2"):
        here.open(view)
        expect(here.page.locator("main")).to_contain_text(evil)
        assert here.page.locator("main img").count() == 0
    assert here.errors == []


def test_own_choice_of_sensors_is_kept(visit: Open) -> None:
    here = visit()
    here.open("#/asset/tep-1")
    page = here.page
    expect(page.locator(".trend")).to_have_count(6)
    page.click("text=My choice")
    for box in page.query_selector_all("dialog input:checked"):
        box.uncheck()
    page.fill("dialog input[type=search]", "xmeas_12")
    page.locator("dialog input[type=checkbox]:visible").check()
    page.click("dialog button[value=ok]")
    expect(page.locator(".trend")).to_have_count(1)
    page.reload()
    expect(page.locator(".trend")).to_have_count(1)
    expect(page.locator(".trend-name")).to_have_text("Separator level")
    page.click("text=Automatic")
    expect(page.locator(".trend")).to_have_count(6)


def test_readings_are_handed_out_as_a_file(visit: Open) -> None:
    wide = visit()
    wide.open("#/asset/tep-1")
    page = wide.page
    page.click("#download")
    link = page.locator("dialog a.primary")
    expect(link).to_have_attribute("href", f"{wide.server.url}/api/v1/assets/tep-1/readings.csv?from=-24h&layout=wide")
    page.select_option("dialog select[name=span]", "0")
    page.select_option("dialog select[name=layout]", "long")
    expect(link).to_have_attribute("href", f"{wide.server.url}/api/v1/assets/tep-1/readings.csv?from=0&layout=long")
    expect(page.locator("dialog p.muted")).to_contain_text("quality")
    page.click("dialog button")
    expect(page.locator("dialog")).to_have_count(0)
    assert wide.errors == []


def test_every_chart_has_a_table_and_a_cursor_by_keyboard(visit: Open) -> None:
    here = visit()
    here.open("#/asset/tep-1")
    page = here.page
    trend = page.locator(".trend[data-key=xmeas_7]")
    trend.wait_for()
    page.wait_for_timeout(1000)
    trend.locator("canvas").focus()
    page.keyboard.press("ArrowLeft")
    expect(trend.locator(".trend-at")).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    page.keyboard.press("Escape")
    expect(trend.locator(".trend-at")).to_have_text("")
    trend.locator("button").click()
    expect(trend.locator("tbody tr")).to_have_count(17)
    assert "2,7" in trend.locator("tbody").inner_text()
    expect(page.locator(".score .quiet")).to_have_count(1)


def test_switches_work_by_keyboard(visit: Open) -> None:
    desk = visit()
    desk.open("#/control/tep-1")
    desk.page.locator("[data-idv='2']").focus()
    assert sent(desk, lambda: desk.page.keyboard.press("Space")) == ("tep-1/faults", {"idv": 2, "on": True})


def test_unknown_asset_says_so(visit: Open) -> None:
    here = visit()
    here.open("#/asset/nothing")
    expect(here.page.locator(".error:visible")).to_contain_text("There is no asset 'nothing'.")


def test_a_gateway_started_twice_is_one_card_with_the_sum(visit: Open) -> None:
    here = visit()
    here.open("#/data")
    page = here.page
    card = page.locator(".gateway[data-key=sim-tep-1]")
    expect(card.locator(".term").first).to_contain_text("121,412")
    page.wait_for_timeout(2500)  # over a refresh
    expect(page.locator(".gateway")).to_have_count(4)
    card.locator("summary").click()
    expect(card.locator("tbody tr")).to_have_count(2)


def test_no_plants_explains_how_to_add_data(browser: Browser) -> None:
    with serving(empty=True) as server, browser.new_context(locale="en-US") as context:
        page = context.new_page()
        page.goto(server.url)
        expect(page.locator(".empty")).to_contain_text("lab replay FILE.csv --asset NAME")


def test_what_learns_is_not_called_normal(visit: Open) -> None:
    here = visit()
    tep, line, new, gone = here.server.lab.plants
    here.server.lab.plants = [new]
    here.open()
    expect(here.page.locator(".summary")).to_have_text("Learning: 1")
    here.server.lab.plants = [tep, line, new, gone]
    expect(here.page.locator(".summary")).to_have_text("Need attention: 3 · Learning: 1", timeout=15_000)


def test_an_address_that_is_no_proper_escape_shows_a_page(visit: Open) -> None:
    here = visit()
    here.open("#/asset/50%")
    expect(here.page.locator(".error")).to_contain_text("50%")
    assert [error for error in here.errors if "404" not in error] == []


def test_a_connection_that_fell_silent_is_made_anew_without_waiting_for_its_farewell(visit: Open) -> None:
    here = visit()
    here.open()
    here.wait("labPage.live.lastId > 0")
    before = len(here.server.wire.asked)
    here.page.evaluate("""() => {
      const { live } = labPage;
      live.socket.onmessage = null;
      live.socket.close = () => {};
      live.heard -= 60_000;
      live.checkSilence();
    }""")
    here.wait("labPage.live.socket.readyState === 1 && performance.now() - labPage.live.heard < 2000")
    assert len(here.server.wire.asked) == before + 1
    assert here.server.wire.asked[-1]
    expect(here.page.locator(".banner")).to_be_hidden()


TEXTS = """async () => {
  const { duration, number } = await import('/pages/i18n.js');
  const { holdRange, niceTicks, tickTexts } = await import('/pages/scale.js');
  const axis = (lo, hi) => tickTexts(niceTicks(lo, hi, 3));
  const still = (v) => { const { lo, hi } = holdRange(null, v, v, 0, []); return axis(lo, hi); };
  return {
    times: [9.94, 89, 5399, 5400, 7170, 7199, 86_399, 172_799, 172_800].map(duration),
    numbers: [0, 1e-9, -9.87654e15, 0.000123, 999_999_999, 1.5, null].map((v) => number(v)),
    decimals: [number(1e-9, 2), number(1.2e9, 1)],
    axes: [[0, 1.2], [-1, 1], [970_000, 1_030_000], [1e-9, 2e-9], [-9.9e15, -9.85e15], [118, 122]]
      .map((ends) => axis(...ends)),
    still: [still(0), still(7)],
  };
}"""


def test_times_and_numbers_of_every_size_are_readable(visit: Open) -> None:
    here = visit()
    here.open()
    found = here.page.evaluate(TEXTS)
    assert [time.replace("\u00a0", " ") for time in found["times"]] == [
        "9.9 s", "89 s", "90 min", "1 h 30 min", "2 h 0 min", "2 h 0 min", "24 h 0 min", "48 h 0 min", "2 d",
    ]  # fmt: skip
    assert found["numbers"] == ["0", "1.000E-9", "-9.877E15", "0.000123", "999,999,999", "1.500", "–"]
    assert found["decimals"] == ["0.00", "1,200,000,000.0"], "what a gateway declares is kept"
    assert found["axes"] == [
        ["0.0", "0.5", "1.0"],
        ["-1", "0", "1"],
        ["980000", "1000000", "1020000"],
        ["1.0E-9", "1.5E-9", "2.0E-9"],
        ["-9.90E15", "-9.88E15", "-9.86E15"],
        ["118", "120", "122"],
    ]
    assert found["still"] == [["-0.5", "0.0", "0.5"], ["7"]]


def test_a_chart_makes_room_for_long_numbers(visit: Open) -> None:
    here = visit(PHONE)
    pump = here.server.lab.plants[1]
    pump.sensors[1].base, pump.sensors[1].noise = 2_000_000.0, 20_000.0
    pump.sensors[1].name = "第3プラント東側熱交換器チューブ側出口流量" + "VeryLongTagWithoutAnySpace" * 3
    here.open("#/asset/line-2")
    here.page.wait_for_selector(".trend")
    here.wait("labPage.view !== null && document.querySelectorAll('.trend').length > 1")
    here.page.wait_for_timeout(1500)
    heights = here.page.evaluate("[...document.querySelectorAll('.trend')].map((each) => each.offsetHeight)")
    assert max(heights) < 500, "a long name is not set letter by letter"
    assert here.overflow() <= 0


SERIES = """async () => {
  const { Series } = await import('/pages/series.js');
  const s = new Series(100);
  s.load({ t: [0, 1000, 2000, 3000], v: [1, 2, null, 4], lo: [1, 2, null, 4], hi: [1, 2, null, 4], raw: true }, 10);
  s.push(3000, 9);
  s.push(4000, 5);
  const raw = [s.n, s.lastT, s.v[3], s.v[4], Number.isNaN(s.v[2])];
  const d = new Series(100);
  d.bucketMs = 10_000;
  for (let t = 0; t < 100_000; t += 1000) d.push(t, t / 1000);
  const gap = new Series(10);
  gap.push(0, 1);
  gap.push(1000, 1);
  const small = new Series(10);
  for (let t = 0; t < 1000; t += 1) small.push(t * 1000, t);
  return { raw, decimated: [d.n, d.v[0], d.lo[0], d.hi[0]], nearest: [gap.nearest(900), gap.nearest(60_000)],
    newest: small.v[small.n - 1], bounded: small.n <= 20, ordered: small.at(999_000) === small.n - 1 };
}"""


def test_series_decimate_and_keep_gaps(visit: Open) -> None:
    here = visit()
    here.open()
    found = here.page.evaluate(SERIES)
    assert found["raw"] == [5, 4000, 4, 5, True]
    assert found["decimated"] == [10, 4.5, 0, 9]
    assert found["nearest"] == [1, -1]
    assert found["newest"] == 999
    assert found["bounded"]
    assert found["ordered"]


DRAW = """async () => {
  const { Series } = await import('/pages/series.js');
  const { Chart } = await import('/pages/chart.js');
  const box = document.createElement('div');
  box.style.width = '600px';
  document.body.append(box);
  const charts = [];
  const period = 1000;
  for (let c = 0; c < 10; c += 1) {
    const chart = new Chart({ label: 'test' });
    chart.rangeMs = 600 * period;
    chart.curves = ['blue', 'green', 'ink'].map((colour) => ({ series: new Series(600), colour }));
    chart.curves.forEach(({ series }, k) => {
      for (let i = 0; i < 600; i += 1) series.push(i * period, Math.sin(i / 20 + k) + c + Math.random() / 10);
    });
    box.append(chart.canvas);
    charts.push(chart);
  }
  await new Promise((done) => setTimeout(done, 300));
  const times = [];
  for (let tick = 600; tick < 700; tick += 1) {
    const start = performance.now();
    for (const chart of charts) {
      for (const { series } of chart.curves) series.push(tick * period, Math.sin(tick / 20));
      chart.draw(tick * period);
    }
    times.push(performance.now() - start);
    await new Promise((done) => requestAnimationFrame(done));
  }
  times.sort((a, b) => a - b);
  const drawn = charts.every(({ canvas }) => {
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.some((value) => value > 0);
  });
  return { median: times[50], p95: times[95], drawn };
}"""


def test_ten_charts_of_600_points(visit: Open, capsys: pytest.CaptureFixture[str]) -> None:
    here = visit()
    here.open("#/data")
    found = here.page.evaluate(DRAW)
    with capsys.disabled():
        print(f"\n10 charts x 3 series x 600 points: {found['median']:.2f} ms a tick, p95 {found['p95']:.2f} ms")
    assert found["drawn"]
