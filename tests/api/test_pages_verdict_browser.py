"""What the pages say of an episode, and what is told there, in Chromium on the fake lab."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.api.fake_lab import NONE_IN_SIGHT, OUTLOOK, explain
from tests.api.fake_server import Server, serving
from tests.api.test_pages_browser import PHONE, Open, Visit, browser, visit

__all__ = ["browser", "visit"]  # fixtures

pytestmark = pytest.mark.browser


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def part(page: Page, k: int) -> str:
    """Text of the k-th part of the diagnosis."""
    return page.locator(".diagnosis .part").nth(k).inner_text().replace("\u00a0", " ")


def open_asset(visit: Visit, asset: str = "tep-1") -> Page:
    """The asset's page with its diagnosis."""
    visit.open(f"#/asset/{asset}")
    expect(visit.page.locator(".diagnosis")).to_be_visible()
    return visit.page


def test_an_open_episode_says_cause_time_and_whose_it_is(visit: Open) -> None:
    here = visit()
    page = open_asset(here)
    expect(page.locator(".diagnosis")).to_contain_text("A feed")
    cause = part(page, 0)
    assert "IDV 1: A/C feed ratio in stream 4, B constant 71%" in cause
    assert [row.inner_text().split("\n")[-1] for row in page.query_selector_all(".causes li")] == ["12%", "5%", "12%"]
    assert "Like nothing known" in cause
    expect(page.locator(".diagnosis .part").nth(1)).to_contain_text("simulation ×60")
    limit = part(page, 1)
    assert "in about 2 h 35 min" in limit
    assert "Reactor pressure reaches its trip limit of 3,000 kPaG" in limit
    assert "between 68 min and 4 h 30 min" in limit
    assert "Process" in part(page, 2)
    assert here.errors == []


def test_the_limit_that_comes_first_is_named_whatever_others_the_sensor_has(visit: Open) -> None:
    here = visit()
    plant = here.server.lab.plants[0]
    pressure = next(sensor for sensor in plant.sensors if sensor.tag == "xmeas_7")
    pressure.limits = {"hi_trip": 3000.0, "lo_alarm": 2500.0}
    plant.episodes[-1]["outlook"] = OUTLOOK | {"limit": 2500.0}
    page = open_asset(here)
    assert "Reactor pressure reaches its alarm limit of 2,500 kPaG" in part(page, 1)
    plant.episodes[-1]["outlook"] = OUTLOOK
    expect(page.locator(".diagnosis .part").nth(1)).to_contain_text("its trip limit of 3,000")
    plant.episodes[-1]["outlook"] = OUTLOOK | {"limit": None}  # of an older lab
    expect(page.locator(".diagnosis .part").nth(1)).to_contain_text("Reactor pressure reaches its trip limit")
    expect(page.locator(".diagnosis .part").nth(1)).not_to_contain_text("3,000")
    assert here.errors == []


def test_beside_a_limit_that_was_reached_the_next_one_is_told(visit: Open) -> None:
    here = visit()
    plant = here.server.lab.plants[0]
    reached = OUTLOOK | {"reached": "xmeas_8", "lead_s": 1800.0}
    plant.episodes[-1]["outlook"] = reached
    page = open_asset(here)
    limit = part(page, 1)
    assert "in about 2 h 35 min" in limit
    assert "Reactor pressure reaches its trip limit of 3,000 kPaG" in limit
    assert "Reactor level has reached its limit already." in limit
    plant.episodes[-1]["outlook"] = reached | {"sensor": "xmeas_8", "limit": 100.0}
    expect(page.locator(".diagnosis .part").nth(1)).to_contain_text("30 min after the first alarm")
    assert here.errors == []


def test_of_a_sensor_that_shows_nothing_it_is_not_said_that_no_trip_is_in_sight(visit: Open) -> None:
    here = visit()
    episode = here.server.lab.plants[0].episodes[-1]
    episode["outlook"] = OUTLOOK | {"silent_s": 600.0}
    page = open_asset(here)
    limit = page.locator(".diagnosis .part").nth(1)
    assert "in about 2 h 35 min" in part(page, 1)
    assert "Reactor pressure has shown nothing for 10 min: this is told by its last reading." in part(page, 1)
    names = "silent_s", "time_s", "low_s", "high_s", "limit"
    pressure = {"sensor": "xmeas_7"} | dict(zip(names, (3600.0, 7200.0, 1200.0, 14400.0, 3000.0), strict=True))
    level = {"sensor": "xmeas_8"} | dict.fromkeys(names)
    episode["outlook"] = NONE_IN_SIGHT | {"unseen": [pressure, level]}
    expect(limit).to_contain_text("Not known")
    expect(limit).to_contain_text("Reactor pressure has shown nothing for 60 min. By its last reading it was 2 h away")
    expect(limit).to_contain_text("between 20 min and 4 h). Not seen, so not in the forecast: Reactor level.")
    expect(limit).not_to_contain_text("in sight")
    expect(limit).not_to_contain_text("by now")
    whose = page.locator(".diagnosis .part").nth(2)
    expect(whose).to_contain_text(
        "Reactor pressure is silent; Reactor level is silent. That does not explain the alarm."
    )
    expect(whose).not_to_contain_text("No instrument is")
    episode["outlook"] = NONE_IN_SIGHT | {"unseen": [pressure | {"silent_s": 9000.0}]}
    expect(limit).to_contain_text("It may have been reached by now.")
    episode["outlook"] = NONE_IN_SIGHT | {"unseen": [pressure | {"time_s": 0.0}]}
    expect(limit).to_contain_text("It was beyond its limit when it was last seen.")
    episode["outlook"] = NONE_IN_SIGHT | {"unseen": [level]}
    expect(limit).to_contain_text("No trip in sight of the sensors that are seen")
    expect(limit).to_contain_text("Not seen, so not in the forecast: Reactor level.")
    episode["outlook"] = NONE_IN_SIGHT | {"unseen": [level], "low_s": None, "watched": 0}
    expect(limit).to_contain_text("Not known")
    here.open()
    expect(page.locator(".card[data-key=tep-1] .card-note")).to_contain_text("Time to the limit not known")
    assert here.errors == []


def test_what_is_like_nothing_known_and_trips_nowhere_is_said_so(visit: Open) -> None:
    here = visit()
    explain(here.server.lab.plants[0].episodes[-1], [("idv_9", 0.02)], 0.97, NONE_IN_SIGHT)
    page = open_asset(here)
    assert "Not like anything known 97%" in part(page, 0)
    assert "IDV 9: D feed temperature" in part(page, 0)
    assert "No trip in sight" in part(page, 1)
    assert "at least 68 min" in part(page, 1)
    expect(page.locator(".diagnosis .part").nth(1)).to_contain_text("simulation ×60")


def test_an_instrument_is_named_with_the_reason_and_is_no_alarm(visit: Open) -> None:
    here = visit()
    plant = here.server.lab.plants[1]
    plant.ill_from = 0.0  # the score is far above the limit
    page = open_asset(here, "line-2")
    expect(page.locator(".title-line .badge")).to_have_text("Sensor suspect")
    assert "Instrument\n\nVibration, drive end is frozen" in part(page, 2)
    assert "one and the same value" in part(page, 2)
    assert "no cause in the process is looked for" in part(page, 0)
    row = plant.open_episode()
    assert row is not None
    for fault, words in (("silent", "is silent"), ("spiking", "is spiking"), ("range", "is out of range")):
        row["failed"] = row["failed"] | {"fault": fault}
        expect(page.locator(".diagnosis .part").nth(2)).to_contain_text(words)


def test_a_failed_sensor_that_moves_the_plant_is_an_alarm(visit: Open) -> None:
    here = visit()
    plant = here.server.lab.plants[1]
    plant.ill_from = 0.0
    row = plant.open_episode()
    assert row is not None
    row["upset"] = [{"sensor": "flow", "name": "Flow"}, {"sensor": "bearing_temp", "name": "Bearing temperature"}]
    page = open_asset(here, "line-2")
    expect(page.locator(".title-line .badge")).to_have_text("Alarm")
    expect(page.locator(".diagnosis")).not_to_have_class(re.compile("is-instrument"))
    assert "Vibration, drive end is frozen\n\nIt failed before the plant moved." in part(page, 0)
    assert "The plant moves with it: Flow; Bearing temperature" in part(page, 2)
    assert "Take its loop to manual" in part(page, 2)
    listed = page.locator(".episode-table tbody tr").first
    expect(listed).to_contain_text("Sensor fault moves the plant")
    expect(listed).to_contain_text("Vibration, drive end is frozen")
    expect(listed).to_have_class(re.compile("kind-process"))
    row["unknown"] = 0.9
    expect(page.locator(".diagnosis .part").first).to_contain_text("no known cause in the process looks like this")
    row |= {"told": True, "cause": "gauge stuck"}
    expect(listed).to_contain_text("gauge stuck")
    row["told_kind"] = "process"
    expect(listed).to_contain_text("Process abnormal")
    expect(page.locator(".diagnosis .part").nth(2)).to_contain_text("told by a user")
    assert "Process\n\ntold by a user\n\nThe lab had put it down to: Instrument, and the plant with it" in part(page, 2)
    assert here.errors == []


def test_a_sensor_that_failed_of_late_is_to_be_checked_first(visit: Open) -> None:
    here = visit()
    row = here.server.lab.plants[0].open_episode()
    assert row is not None
    row["suspects"] = [{"sensor": tag, "name": tag, "fault": "spiking"} for tag in ("xmeas_4", "xmeas_8")]
    page = open_asset(here)
    told = part(page, 2)
    assert (
        "Process\n\nCheck first: A and C feed (stream 4) is spiking; Reactor level is spiking\n\nA sensor had failed"
        in told
    )
    assert "No instrument is frozen" not in told
    listed = page.locator(".episode-table tbody tr").first
    assert "A/C feed ratio" in listed.inner_text(), "a known cause is likelier"
    row |= {"unknown": 0.9, "cause": None}
    expect(listed).to_contain_text("Check first: A and C feed (stream 4) is spiking")


@pytest.mark.parametrize(
    ("locale", "said"),
    [
        (
            "en-US",
            [
                "Reactor level: spikes 12 times, the first 14 h 0 min ago, the last 9 min ago",
                "A feed (stream 1): spikes once, 2 h 0 min ago",
                "A and C feed (stream 4): frozen once, from 2 h 0 min ago until now",
                "D feed (stream 2): no values once, from 5 h 0 min ago to 2 h 0 min ago",
                "E feed (stream 3): out of range 3 times, the first 5 h 0 min ago, and now",
            ],
        ),
        (
            "ja-JP",
            [
                "突発的な異常値 12回（最初は14時間0分前、最後は9分前）",
                "突発的な異常値 1回（2時間0分前）",
                "指示値の固着 1回（2時間0分前から継続中）",
                "値の途絶 1回（5時間0分前から2時間0分前まで）",
                "測定範囲外 3回（最初は5時間0分前、現在も継続中）",
            ],
        ),
    ],
)
def test_instruments_that_failed_are_listed_whatever_episodes_say(visit: Open, locale: str, said: list[str]) -> None:
    here = visit(locale=locale)
    page = open_asset(here)
    listed = page.locator(".instruments-panel")
    expect(listed).to_be_hidden()
    here.server.lab.plants[0].instruments = [
        ("xmeas_8", "spiking", 12, 50_400.0, 540.0),
        ("xmeas_1", "spiking", 1, 7200.0, 7200.0),
        ("xmeas_4", "frozen", 1, 7200.0, 0.0),
        ("xmeas_2", "silent", 1, 18_000.0, 7200.0),
        ("xmeas_3", "range", 3, 18_000.0, 0.0),
    ]
    expect(listed.locator("li")).to_have_count(5)
    lines = [line.replace("\N{NO-BREAK SPACE}", " ") for line in listed.locator("li").all_inner_texts()]
    for line, end in zip(lines, said, strict=True):
        assert line.endswith(end)
    assert here.errors == []


def test_without_an_episode_nothing_is_diagnosed(visit: Open) -> None:
    here = visit()
    here.server.lab.accept("tep-1")
    here.open("#/asset/tep-1")
    expect(here.page.locator(".score .legend")).to_be_visible()
    expect(here.page.locator(".diagnosis")).to_be_hidden()


def test_a_known_cause_is_told(visit: Open) -> None:
    here = visit()
    page = open_asset(here)
    page.click("#tell")
    choice, where = page.locator("dialog select[name=cause]"), page.locator("dialog select[name=kind]")
    assert "strainer blocked" in choice.inner_text(), "what a user told before is known"
    assert choice.input_value() == "idv_1"
    expect(page.locator("dialog input")).to_be_hidden()
    assert where.input_value() == "process"
    choice.select_option("idv_5")
    page.click("dialog .primary")
    expect(page.locator(".notice")).to_contain_text("IDV 5: Condenser cooling-water inlet temperature")
    assert here.server.lab.posted == [("episodes/e9/cause", {"cause": "idv_5", "kind": "process"})]
    expect(page.locator(".diagnosis .part").first).to_contain_text("told by a user")


def test_a_name_of_ones_own_is_told_of_an_episode_that_ended(visit: Open) -> None:
    here = visit()
    page = open_asset(here)
    row = page.locator(".episode-table tbody tr").nth(3)
    row.locator("button").click()
    page.locator("dialog select[name=cause]").select_option(label="Something else …")
    page.locator("dialog select[name=kind]").select_option("instrument")
    page.click("dialog .primary")
    assert here.server.lab.posted == [], "a name is needed"
    page.fill("dialog input", "   ")
    page.click("dialog .primary")
    assert page.locator("dialog input").evaluate("(input) => input.validationMessage").startswith("Write what it was")
    assert here.server.lab.posted == []
    page.fill("dialog input", "  <b>leak</b> ")
    page.click("dialog .primary")
    expect(row).to_contain_text("<b>leak</b>")
    expect(row).to_contain_text("Sensor suspect")
    row.locator("button").click()
    expect(page.locator("dialog select[name=kind]")).to_have_value("instrument")
    page.click("dialog button:has-text('Cancel')")
    assert here.server.lab.posted == [("episodes/e0/cause", {"cause": "<b>leak</b>", "kind": "instrument"})]
    assert here.errors == []


def test_what_was_told_is_taken_back(visit: Open) -> None:
    here = visit()
    page = open_asset(here)
    page.click("#tell")
    expect(page.locator("dialog button:has-text('Take back')")).to_have_count(0)  # nothing was told
    page.locator("dialog select[name=cause]").select_option("idv_5")
    page.click("dialog .primary")
    expect(page.locator(".diagnosis .part").first).to_contain_text("told by a user")
    page.click("#causes")
    page.locator("dialog select[name=cause]").select_option("idv_5")
    assert page.locator("dialog input").input_value() == "", "it is shown by another name than it has"
    page.keyboard.press("Escape")
    expect(page.locator("#causes")).to_be_focused()
    page.click("#tell")
    page.click("dialog button:has-text('Take back')")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator(".notice")).to_contain_text("Taken back: IDV 5")
    assert here.server.lab.posted[-1] == ("episodes/e9/cause", "taken back")
    expect(page.locator(".diagnosis .part").first).not_to_contain_text("told by a user")
    assert here.errors == []


def test_a_cause_is_renamed_and_deleted(visit: Open) -> None:
    here = visit()
    page = open_asset(here)
    page.click("#causes")
    choice, name = page.locator("dialog select[name=cause]"), page.locator("dialog input")
    assert choice.inner_text() == "strainer blocked (1)"
    assert name.input_value() == "strainer blocked"
    expect(page.locator("dialog h2")).to_have_text("Causes told")
    name.fill("  ")
    page.click("dialog .primary")
    assert name.evaluate("name => name.validationMessage") == "Write what it was, in a few words."
    assert here.server.lab.posted == []
    here.server.lab.refuse = "The library cannot be read."
    name.fill("strainer worn")
    page.click("dialog .primary")
    expect(page.locator("dialog [role=alert]")).to_have_text("The library cannot be read.")
    here.server.lab.refuse = None
    page.click("dialog .primary")
    expect(page.locator(".notice")).to_contain_text("Now: strainer worn.")
    expect(page.locator(".episode-table")).to_contain_text("strainer worn")
    page.click("#causes")
    page.click("dialog button:has-text('Delete')")
    expect(page.locator("dialog")).to_contain_text("(told 1×) is deleted for all assets of this kind")
    page.click("dialog button:has-text('Cancel')")
    expect(page.locator("dialog")).to_have_count(0)
    page.click("#causes")
    page.click("dialog button:has-text('Delete')")
    page.click("dialog .primary")
    expect(page.locator(".notice")).to_contain_text("Deleted: strainer worn.")
    mend = "assets/tep-1/causes"
    asked = {"cause": "strainer blocked", "name": "strainer worn"}
    assert here.server.lab.posted == [
        *[(f"{mend}/rename", asked)] * 2,
        (f"{mend}/forget", {"cause": "strainer worn"}),
    ]
    expect(page.locator(".episode-table")).not_to_contain_text("strainer worn")
    page.click("#causes")
    expect(page.locator(".notice")).to_contain_text("Nothing was told yet.")


def test_accepting_asks_first_and_says_what_it_does(visit: Open) -> None:
    here = visit()
    page = open_asset(here)
    page.click("#accept")
    expect(page.locator("dialog")).to_contain_text("becomes their normal level")
    expect(page.locator("dialog")).to_contain_text("it will no longer be reported")
    page.click("dialog button:has-text('Cancel')")
    expect(page.locator("dialog")).to_have_count(0)
    assert here.server.lab.posted == []
    page.click("#accept")
    page.click("dialog .primary")
    expect(page.locator(".notice")).to_contain_text("Accepted")
    assert here.server.lab.posted == [("assets/tep-1/accept", {})]
    expect(page.locator(".diagnosis")).to_be_hidden()
    page.click("#undo")
    expect(page.locator("dialog")).to_contain_text("is what its model learnt")
    page.click("dialog .primary")
    expect(page.locator(".notice")).to_contain_text("Normal is again what the model learnt")
    assert here.server.lab.posted[-1] == ("assets/tep-1/accept", "undone")
    expect(page.locator("#undo")).to_be_hidden()


def test_a_refusal_stays_in_the_dialog(visit: Open) -> None:
    here = visit()
    here.server.lab.refuse = "tep-1 is not scored yet."
    page = open_asset(here)
    page.click("#accept")
    page.click("dialog .primary")
    expect(page.locator("dialog [role=alert]")).to_have_text("tep-1 is not scored yet.")
    expect(page.locator("dialog .primary")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)


def test_high_drift_is_explained_when_nothing_is_in_alarm(visit: Open) -> None:
    here = visit()
    tep = here.server.lab.plants[0]
    tep.drift = 0.93
    page = open_asset(here)
    expect(page.locator(".drift")).to_contain_text("Model drift 0.9")
    expect(page.locator(".drift-high")).to_be_hidden()
    here.server.lab.accept("tep-1")
    tep.drift = 0.93
    expect(page.locator(".drift-high")).to_be_visible()
    expect(page.locator(".drift-high")).to_contain_text("time for a new model")
    tep.drift = 0.1
    expect(page.locator(".drift-high")).to_be_hidden()


def test_four_charts_are_named_and_explained(visit: Open) -> None:
    here = visit()
    page = open_asset(here)
    names = ["Abnormality score", "Overall fit", "Spread", "Lasting shift", "Far off"]
    for k, name in enumerate(names):
        expect(page.locator(".score .legend li").nth(k)).to_have_text(re.compile(rf"{name}\d+\.\d\d"))
    page.click(".score summary")
    expect(page.locator(".charts dd")).to_have_count(4)
    assert all(text.strip() for text in page.locator(".charts dd").all_inner_texts())


def test_episodes_have_cause_and_lead_time(visit: Open) -> None:
    here = visit()
    page = open_asset(here)
    listed = page.locator(".episode-table tbody tr")
    expect(listed).to_have_count(4)
    rows = [row.inner_text().replace("\u00a0", " ") for row in listed.all()]
    assert "A/C feed ratio in stream 4, B constant 71%" in rows[0]
    assert "2 h 35 min left" in rows[0]
    assert "strainer blocked told by a user" in rows[1]
    assert "2 h 17 min, then Reactor pressure" in rows[2]
    assert "Like nothing known" in rows[3]
    assert "no limit reached" in rows[3]


def test_an_open_episode_says_the_same_in_panel_and_table_however_rarely_it_is_stored(visit: Open) -> None:
    here = visit()
    tep = here.server.lab.plants[0]
    row = tep.open_episode()
    assert row is not None
    tep.newer = row | {"outlook": OUTLOOK | {"time_s": 2400.0}, "unknown": 0.8}
    page = open_asset(here)
    expect(page.locator(".episode-table tbody tr").first).to_contain_text("40 min left", timeout=15_000)
    expect(page.locator(".episode-table tbody tr").first).to_contain_text("Like nothing known")
    assert "in about 40 min" in part(page, 1)


def test_table_and_list_follow_the_live_frames(visit: Open) -> None:
    here = visit()
    tep = here.server.lab.plants[0]
    row = tep.open_episode()
    assert row is not None
    page = open_asset(here)
    listed = page.locator(".episode-table tbody tr").first
    expect(listed).to_contain_text("left")
    tep.newer = row | {"outlook": OUTLOOK | {"time_s": 2400.0}}
    expect(page.locator(".diagnosis .part").nth(1)).to_contain_text("in about 40 min")
    assert "40 min left" in listed.inner_text().replace("\u00a0", " "), "the table says what the panel says"
    here.open()
    tep.newer = row | {"outlook": OUTLOOK | {"time_s": 1800.0}}
    expect(page.locator(".card[data-key=tep-1] .card-note")).to_contain_text("30 min")
    expect(page.locator(".episodes .is-open").first).to_contain_text("30 min")


def test_what_leads_nothing_is_not_named_as_leading(visit: Open) -> None:
    here = visit()
    row = here.server.lab.plants[0].open_episode()
    assert row is not None
    row["leading"] = [["xmeas_1", 0.9971], ["xmeas_40", 0.0021], ["xmeas_39", 0.0]]
    page = open_asset(here)
    listed = page.locator(".episode-table tbody tr").first
    expect(listed).to_contain_text("A feed (stream 1)\u00a0100%")
    assert "0%" not in listed.inner_text().split("100%")[1]
    expect(page.locator(".diagnosis .part").nth(3).locator("li")).to_have_count(1)


def test_older_episodes_come_when_asked_for(visit: Open) -> None:
    here = visit()
    tep = here.server.lab.plants[0]
    first = tep.episodes[0]
    tep.episodes[:0] = [
        first | {"id": f"old{k}", "start": first["start"] - 60 * (k + 1), "end": first["end"] - 60 * (k + 1)}
        for k in range(40)
    ]
    page = open_asset(here)
    rows = page.locator(".episode-table tbody tr")
    expect(rows).to_have_count(30)
    page.click("#older")
    expect(rows).to_have_count(44)
    expect(page.locator("#older")).to_be_hidden()


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en-US", "71% · Trip in about 2 h 35 min (plant time)"),
        ("ja-JP", "IDV 1：流れ4のA/C比の変化（Bは一定） 71% · 停止まで約2時間35分（プラント内の時間）"),
    ],
)
def test_a_card_in_alarm_says_cause_and_time_in_a_line(visit: Open, locale: str, words: str) -> None:
    here = visit(locale=locale)
    here.open()
    expect(here.page.locator(".card[data-key=tep-1] .card-note")).to_contain_text(words)
    here.server.lab.tell("e9", "strainer blocked", "process")
    expect(here.page.locator(".card[data-key=tep-1] .card-note")).to_contain_text("strainer blocked")
    note = "Vibration, drive end" if locale == "en-US" else "固着"
    expect(here.page.locator(".card[data-key=line-2] .card-note")).to_contain_text(note)


@pytest.mark.parametrize("locale", ["en-US", "ja-JP"])
def test_dialogs_fit_a_phone(visit: Open, locale: str) -> None:
    phone = visit(PHONE, locale)
    page = open_asset(phone)
    for button in ("#tell", "#accept", "#causes"):
        page.click(button)
        box = page.locator("dialog").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE[0]
        inside = "(d => d.scrollWidth - d.clientWidth)(document.querySelector('dialog'))"
        assert page.evaluate(inside) <= 0
        assert re.findall(r"\bpage\.[a-z_.]+", page.inner_text("body")) == []
        page.keyboard.press("Escape")
        expect(page.locator("dialog")).to_have_count(0)
    assert phone.overflow() <= 0
    assert phone.errors == []
