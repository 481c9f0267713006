"""Readings as a file: `GET assets/{id}/readings.csv`, and that `lab score` can read it."""

from pathlib import Path

import httpx
import numpy as np
import pytest

from devices.simulated import channels
from lab.historian import transfer
from lab.tables import read_table
from tests.api.conftest import PLANT_CHANNELS

PATH = "/api/v1/assets/tep-1/readings.csv"
TAGS = [channel.tag for channel in PLANT_CHANNELS if channel.role != "status"]


def test_a_wide_file(http: httpx.Client, tmp_path: Path) -> None:
    found = http.get(PATH, params={"from": "-1h"})
    assert found.status_code == 200
    assert found.headers["content-type"] == "text/csv; charset=utf-8"
    name = found.headers["content-disposition"]
    assert name.startswith('attachment; filename="tep-1_20')
    assert name.endswith('Z.csv"')
    (tmp_path / "run.csv").write_bytes(found.content)
    head = found.text.split("\n", 1)[0].split(",")
    assert head[0] == "time"
    assert [tag for tag in head[1:] if tag != "plant_s"] == TAGS
    table = read_table(tmp_path / "run.csv", ignore=["plant_s"])
    assert table.values.shape == (600, len(TAGS))
    np.testing.assert_array_equal(table.values[:, 0], np.sin(np.arange(600) / 20.0))
    assert np.isnan(table.values[-3:, 1]).all()  # of bad quality


def test_a_long_file(http: httpx.Client, tmp_path: Path) -> None:
    found = http.get(PATH, params={"from": "-1h", "layout": "long"})
    assert found.headers["content-disposition"].endswith('_readings.csv"')
    head, first, *rest = found.text.splitlines()
    assert head == "time,sensor,value,quality"
    assert first.split(",")[1:] == [f"tep-1/{PLANT_CHANNELS[0].tag}", "0.0", "good"]
    assert len(rest) + 1 == 600 * len(PLANT_CHANNELS)
    assert "~" not in found.text
    (tmp_path / "long.csv").write_bytes(found.content)
    (tmp_path / "wide.csv").write_bytes(http.get(PATH, params={"from": "-1h"}).content)
    one, other = (read_table(tmp_path / f"{layout}.csv", ignore=["plant_s"]) for layout in ("long", "wide"))
    assert one.time is not None
    assert other.time is not None
    np.testing.assert_array_equal(one.time, other.time)
    for tag in TAGS:
        np.testing.assert_array_equal(one.values[:, one.columns.index(tag)], other.values[:, other.columns.index(tag)])


def test_piece_by_piece_it_is_the_same(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    query = {"from": "-1h", "to": "2100-01-01"}
    whole = {layout: http.get(PATH, params={**query, "layout": layout}).text for layout in ("wide", "long")}
    monkeypatch.setattr(transfer, "HOUR", 60 * 10**9)
    assert http.get(PATH, params=query).text == whole["wide"]
    assert sorted(http.get(PATH, params={**query, "layout": "long"}).text.split()) == sorted(whole["long"].split())


def test_of_a_head_no_more_is_read_than_needed(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "HOUR", 60 * 10**9)
    read = []
    real = transfer.Windows.took
    monkeypatch.setattr(transfer.Windows, "took", lambda self, readings: read.append(readings) or real(self, readings))
    found = http.head(PATH, params={"from": "-1h"})
    assert found.headers["content-type"] == "text/csv; charset=utf-8"
    assert len(read) == 1
    http.get(PATH, params={"from": "-1h"})
    assert len(read) > 3


def test_a_stretch_without_readings_is_a_header(http: httpx.Client) -> None:
    found = http.get(PATH, params={"from": "2001-01-01", "to": "2001-01-02"})
    assert found.text.startswith("time,")
    assert found.text.count("\n") == 1
    (other,) = (each["id"] for each in http.get("/api/v1/assets").json()["assets"] if each["id"] != "tep-1")
    path = f"/api/v1/assets/{other}/readings.csv"  # of which nothing was ever stored
    assert http.get(path, params={"layout": "long"}).text == "time,sensor,value,quality\n"
    assert http.get(path).text == "time\n"


def test_what_is_refused(http: httpx.Client) -> None:
    assert http.get("/api/v1/assets/nobody/readings.csv").status_code == 404
    assert http.get(PATH, params={"from": "soon"}).status_code == 422
    assert http.get(PATH, params={"from": "2026-01-02", "to": "2026-01-01"}).status_code == 422
    assert http.get(PATH, params={"layout": "tall"}).status_code == 422
    assert http.head(PATH).status_code == 200


def test_the_plant_of_the_test_is_that_of_the_lab() -> None:
    assert {channel.tag for channel in PLANT_CHANNELS} <= {channel.tag for channel in channels()}
