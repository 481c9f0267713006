"""Wet insulation, corrosivity and metal lost since the last inspection, from live sensors of any number of points.

The jacket over wet insulation is warmer than over dry one. How much of the metal's warmth reaches a dry jacket is
learned point by point from calm hours; what goes beyond it adds up in a CUSUM, not in the sun, not over a steam tracer.
Air in the annulus near saturation for a day says the same. A jacket that warms while that air stays dry is a sensor's
fault.

`PipingPoint` is a detector as `models.detector` has them, made, not fitted: `score(state, block)`. The chart `loss` is
in 100 µm; `loss_um(state)` and `inspected(state, …)` read and reset it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.corrosion import api581
from models.corrosion.coefficients import number, row
from models.corrosion.tables import Codes, Flags, Floats
from models.corrosion.wetness import wet_state
from models.detector import Result, State, Usual

SENSORS: Final = (
    "metal_c",
    "jacket_c",
    "annulus_rh",
    "ambient_c",
    "ambient_rh",
    "rain_mm_h",
    "sun_w_m2",
    "acm_ua",
    "er_ratio",
    "tracing",
)
"""Any of them may be missing (NaN). Temperatures °C, humidity %, current µA, resistance of the ER element over that of
its reference, tracing 1 on, 0 off."""
METAL, JACKET, ANNULUS, AMBIENT, HUMIDITY, RAIN, SUN, ACM, ER, TRACING = range(len(SENSORS))
FAULTS: Final = ("none", "silent", "frozen", "range", "jumps", "disagrees")
SILENT, FROZEN, RANGE, JUMPS, DISAGREES = range(1, len(FAULTS))

LOW: Final = np.array([-60.0, -40.0, 0.0, -40.0, 0.0, 0.0, 0.0, -0.01, 0.5, 0.0])
HIGH: Final = np.array([600.0, 250.0, 101.0, 55.0, 101.0, 200.0, 1500.0, 1000.0, 20.0, 1.0])
JUMP: Final = np.array([40.0, 25.0, 35.0, 15.0, np.inf, np.inf, np.inf, np.inf, 0.02, np.inf])
"""More than this from one row to the next is a slip of the instrument."""
MOVES: Final = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0], dtype=np.bool_)
"""Sensors that never show one number for long."""
FROZEN_H, SILENT_H = row("live.fault").tolist()
DRIVE_K: Final = number("live.drive")
"""Metal above ambient from which the jacket tells anything."""
SUN_W_M2, SLOPE_K_10MIN, UPSET_K_10MIN, HOLD_H = row("live.disturbed").tolist()
"""After sun or tracing the jacket needs so long to be calm again."""
CALM_ROWS: Final = 36
"""Calm rows to learn a point's dry jacket from before the first alarm."""
COUPLING_START: Final = 0.08
DOWN: Final = 1 / 120
UP: Final = 1 / 200
"""How fast the dry jacket follows what is below and above it."""
SIGMA_LEAST_K: Final = number("live.sigma")
SLACK, DECISION = row("live.cusum").tolist()
"""CUSUM, standard errors."""
CUSUM_TOP: Final = 8.0
SOAKED_RH, SOAKED_H, DRY_RH, LEAVE_RH = row("live.annulus").tolist()
"""Annulus air drier than the third contradicts a warm jacket."""
RATE_SIGMA, BLIND_SIGMA = row("live.rate_sigma").tolist()
"""Relative error of a loss that is reckoned from the state; while the metal's temperature or wetness is unknown."""
WORST_UM_Y: Final = float(1000.0 * row("api581.cui.rate").max())
ELEMENT_UM, ER_SIGMA_UM = row("live.er").tolist()
YEAR_H: Final = 8765.82


@dataclass(frozen=True)
class PipingPoint:
    """The detector; see the module."""

    period_s: float = 600.0
    sensors: tuple[str, ...] = SENSORS

    kind = "piping"
    limit = 1.0

    def __post_init__(self) -> None:
        if not self.period_s > 0.0:
            raise ValueError(f"period {self.period_s} s: want a positive one")
        if self.sensors != SENSORS:
            raise ValueError(f"sensors {', '.join(self.sensors)}: want {', '.join(SENSORS)}")

    @property
    def usual(self) -> Usual:
        """Frozen and silent sensors are told here; the lab's own watch is for what lasts much longer."""
        day = max(1, round(86400.0 / self.period_s))
        never = np.full(len(SENSORS), 1000 * day)
        return Usual(LOW, HIGH, np.where(MOVES, day, never), never, np.full(len(SENSORS), np.inf))

    @property
    def trend(self) -> tuple[str, ...]:
        """See `models.detector.Detector`."""
        return ()

    @property
    def lasting(self) -> tuple[str, ...]:
        return ()

    def accept(self, state: State, assets: NDArray[np.bool_]) -> State:
        """Not of this detector: a coating does not recover by being accepted."""
        raise ValueError("a piping model knows no other operating point")

    def shift(self, state: State) -> Floats:
        """None: nothing is accepted."""
        return np.zeros((len(next(iter(state.values()))), len(self.sensors)))

    def drift(self, state: State) -> Floats:
        """None: it is made of physics, not of a record."""
        return np.zeros(len(next(iter(state.values()))))

    def additive(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> tuple[Floats, Floats]:
        """See `models.detector.Detector`; a place foretells no sensor by another."""
        return np.zeros(len(SENSORS)), np.zeros(len(SENSORS))

    def echo(self, sensor: int, rows: int) -> Floats:
        """None: it looks at no rows of before."""
        return np.zeros(len(self.sensors))

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The period; the rest is in this module and the table of coefficients."""
        return {"period_s": np.array(self.period_s)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """See `models.detector.Detector`."""
        return cls(float(arrays["period_s"]))

    def initial(self, assets: int) -> State:
        """Nothing seen yet."""
        wide = (assets, len(SENSORS))
        return {
            "last": np.full(wide, np.nan),
            "same_h": np.zeros(wide),
            "gone_h": np.zeros(wide),
            "jumps": np.zeros(wide),
            "fault": np.zeros(wide, dtype=np.int8),
            "jacket": np.full(assets, np.nan),
            "metal": np.full(assets, np.nan),
            "hold_h": np.zeros(assets),
            "calm": np.zeros(assets),
            "coupling": np.full(assets, COUPLING_START),
            "variance": np.full(assets, 2.25),
            "cusum": np.zeros(assets),
            "soaked_h": np.zeros(assets),
            "dry_h": np.zeros(assets),
            "on": np.zeros(assets, dtype=np.bool_),
            "rate": np.zeros(assets),
            "lost": np.zeros(assets),
            "sigma": np.zeros(assets),
            "er_start": np.full(assets, np.nan),
            "er": np.full(assets, np.nan),
        }

    def score(self, state: State, block: Floats) -> tuple[State, Result]:
        """See `models.detector.Detector`; row after row, all points of a row at once."""
        if block.ndim != 3 or block.shape[2] != len(SENSORS) or len(block) != len(state["cusum"]):
            want = f"(assets, rows, sensors) = ({len(state['cusum'])}, …, {len(SENSORS)})"
            raise ValueError(f"block of shape {block.shape}: want {want}")
        assets, rows, _ = block.shape
        now = {name: array.copy() for name, array in state.items()}
        charts = {name: np.empty((assets, rows)) for name in CHARTS}
        score, alarm = np.empty((assets, rows)), np.empty((assets, rows), dtype=np.bool_)
        share = np.zeros((assets, rows, len(SENSORS)))
        for at in range(rows):
            values = self._row(now, block[:, at])
            score[:, at] = values["score"]
            alarm[:, at] = now["on"]
            by_jacket = values["jacket"] >= values["humidity"]
            share[:, at, JACKET] = np.where(by_jacket, np.nan_to_num(values["score"]), 0.0)
            share[:, at, ANNULUS] = np.where(by_jacket, 0.0, np.nan_to_num(values["score"]))
            blank = np.isnan(values["score"])
            for name in CHARTS:
                charts[name][:, at] = np.where(blank, np.nan, values[name])
        # a place has no usual level to deviate from
        return now, Result(score, alarm, share, charts, np.zeros(share.shape, dtype=np.float32))

    def advance(
        self, state: State, block: Floats, read: Floats | None = None, elapsed: NDArray[np.int16] | None = None
    ) -> Result:
        """See `models.detector.Detector`."""
        after, result = self.score(state, block)
        for name, array in after.items():
            state[name][:] = array
        return result

    def _row(self, now: dict[str, NDArray[Any]], raw: Floats) -> dict[str, Floats]:
        """One row of all points; changes `now`."""
        hours = self.period_s / 3600.0
        x = self._trusted(now, raw, hours)
        rh = x[:, ANNULUS]
        self._watch_jacket(now, x, hours)
        dry_air = rh < DRY_RH
        now["dry_h"] = np.where(np.isnan(rh), now["dry_h"], np.where(dry_air, now["dry_h"] + hours, 0.0))
        wet_air = rh >= SOAKED_RH
        soaked = np.where(wet_air, now["soaked_h"] + hours, np.maximum(now["soaked_h"] - 4.0 * hours, 0.0))
        now["soaked_h"] = np.minimum(np.where(np.isnan(rh), now["soaked_h"], soaked), 2.0 * SOAKED_H)
        # a warm jacket over air that has been dry for hours is the jacket's sensor
        warm = now["cusum"] >= DECISION
        denied = warm & (now["dry_h"] >= 3.0)
        now["fault"][:, JACKET] = np.where(denied, DISAGREES, now["fault"][:, JACKET])
        by_jacket = np.where(denied, 0.0, now["cusum"] / DECISION)
        by_air = now["soaked_h"] / SOAKED_H
        top = np.maximum(by_jacket, by_air)
        ready = (now["calm"] >= CALM_ROWS) | ~np.isnan(now["last"][:, ANNULUS])
        nothing = np.isnan(raw).all(axis=1)
        score = np.where(nothing | ~ready, np.nan, top)
        begins = np.nan_to_num(score) >= self.limit
        ends = (by_jacket < 0.2) & ~(rh >= LEAVE_RH)
        now["on"] = ready & np.where(now["on"], ~ends | begins, begins)
        wetness = self._wetness(now, x)
        rate, blind = self._rate(now, x, wetness)
        self._add_loss(now, x, rate, blind, hours)
        return {
            "score": score,
            "jacket": by_jacket,
            "humidity": by_air,
            "wetness": wetness,
            "corrosivity": rate / WORST_UM_Y,
            "loss": now["lost"] / 100.0,
            "loss_sigma": now["sigma"] / 100.0,
            "instrument": (now["fault"] > 0).sum(axis=1).astype(np.float64),
        }

    def _trusted(self, now: dict[str, NDArray[Any]], raw: Floats, hours: float) -> Floats:
        """The row without what its sensors cannot mean; notes which is at fault."""
        last = now["last"]
        with np.errstate(invalid="ignore"):
            there = np.isfinite(raw)
            outside = there & ((raw < LOW) | (raw > HIGH))
            repeated = there & (raw == last)
            leaps = there & ~outside & (np.abs(raw - last) > JUMP)
        ever = np.isfinite(last) | there
        same = np.where(repeated, now["same_h"] + hours, np.where(there, 0.0, now["same_h"]))
        # air that is saturated, or shown as such, may stand still
        same[:, (ANNULUS, HUMIDITY)] *= raw[:, (ANNULUS, HUMIDITY)] < 99.5
        gone = np.where(there, 0.0, np.where(ever, now["gone_h"] + hours, 0.0))
        jumps = np.minimum(now["jumps"] * (1.0 - hours / 24.0) + leaps, 20.0)
        frozen = MOVES & (same >= FROZEN_H)
        fault = np.zeros_like(now["fault"])
        fault[jumps >= 3.0] = JUMPS
        fault[frozen] = FROZEN
        fault[outside] = RANGE
        fault[gone >= SILENT_H] = SILENT
        # a fault by contradiction stays until the jacket is calm again
        stays = (now["fault"][:, JACKET] == DISAGREES) & (now["cusum"] > 1.0)
        fault[:, JACKET] = np.where(stays, DISAGREES, fault[:, JACKET])
        now["last"] = np.where(there, raw, last)
        now["same_h"], now["gone_h"], now["jumps"], now["fault"] = same, gone, jumps, fault
        return np.where(there & ~outside & ~frozen & ~leaps & (jumps < 3.0), raw, np.nan)

    def _watch_jacket(self, now: dict[str, NDArray[Any]], x: Floats, hours: float) -> None:
        """Residual of the jacket against its dry model, and its CUSUM."""
        drive = x[:, METAL] - x[:, AMBIENT]
        rise = (x[:, JACKET] - x[:, AMBIENT]) - now["coupling"] * drive
        steep = np.abs(x[:, JACKET] - now["jacket"]) > SLOPE_K_10MIN * hours * 6.0
        now["jacket"] = np.where(np.isnan(x[:, JACKET]), now["jacket"], x[:, JACKET])
        # insulation lags behind a metal that warms or cools fast
        upset = np.abs(x[:, METAL] - now["metal"]) > UPSET_K_10MIN * hours * 6.0
        now["metal"] = np.where(np.isnan(x[:, METAL]), now["metal"], x[:, METAL])
        sunny = np.where(np.isnan(x[:, SUN]), steep, x[:, SUN] > SUN_W_M2)
        disturbed = sunny | steep | upset | (x[:, TRACING] > 0.5)
        now["hold_h"] = np.where(disturbed, HOLD_H, np.maximum(now["hold_h"] - hours, 0.0))
        calm = (now["hold_h"] <= 0.0) & (drive >= DRIVE_K) & np.isfinite(rise)
        young = now["calm"] < CALM_ROWS
        sigma = np.sqrt(np.maximum(now["variance"], SIGMA_LEAST_K**2))
        z = np.clip(rise / sigma, -4.0, 8.0)
        grown = np.clip(now["cusum"] + z - SLACK, 0.0, CUSUM_TOP)
        now["cusum"] = np.where(calm & ~young, grown, now["cusum"])
        learns = calm & (young | (now["cusum"] < DECISION))
        pace = np.where(young, 1.0 / (now["calm"] + 1.0), np.where(rise < 0.0, DOWN, UP))
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = now["coupling"] + pace * rise / drive
            spread = now["variance"] + np.where(young, 0.05, 0.005) * (np.minimum(rise**2, 25.0) - now["variance"])
        now["coupling"] = np.where(learns, np.clip(moved, 0.0, 0.6), now["coupling"])
        now["variance"] = np.where(learns, spread, now["variance"])
        now["calm"] = np.where(calm, np.minimum(now["calm"] + 1.0, 1e6), now["calm"])

    def _wetness(self, now: dict[str, NDArray[Any]], x: Floats) -> Floats:
        """(A,) share of the wet rate: 0 dry, 0.3 salt-damp, 1 wet; NaN on bare pipe where nothing tells."""
        rh, current = x[:, ANNULUS], x[:, ACM]
        lagged = np.isfinite(now["last"][:, JACKET]) | np.isfinite(now["last"][:, ANNULUS])
        damp = number("index.damp_share")
        inside = np.where(rh >= number("deliquescence.nacl"), 1.0, np.where(rh >= number("wet.damp_rh"), damp, 0.0))
        inside = np.where(np.isnan(rh), 0.0, inside)
        inside = np.where(now["on"], 1.0, inside)
        air = np.minimum(x[:, HUMIDITY], 100.0)  # a sensor in saturated air may say a little more
        state = wet_state(x[:, METAL], x[:, AMBIENT], air, np.nan, x[:, RAIN] > 0.1)
        bare = np.array([0.0, damp, 1.0, 1.0, np.nan])[state]
        seen = np.where(np.isnan(current), np.nan, current >= row("acm.states")[0])
        found: Floats = np.fmax(np.where(lagged, inside, bare), seen)
        return found

    def _rate(self, now: dict[str, NDArray[Any]], x: Floats, wetness: Floats) -> tuple[Floats, Flags]:
        """(A,) µm/y now, and where the metal's temperature or its wetness is unknown (the last rate goes on)."""
        metal = x[:, METAL]
        blind: Flags = np.isnan(metal) | np.isnan(wetness)
        lagged = np.isfinite(now["last"][:, JACKET]) | np.isfinite(now["last"][:, ANNULUS])
        t = np.where(np.isnan(metal), 20.0, metal)
        wet_rate = 1000.0 * np.where(lagged, api581.cui_rate(t, 3), api581.external_rate(t, 3))
        rate = np.where(blind, now["rate"], wet_rate * wetness)
        return rate, blind

    def _add_loss(self, now: dict[str, NDArray[Any]], x: Floats, rate: Floats, blind: Flags, hours: float) -> None:
        """Trapezoid rule; an ER probe, where there is one, has the word by its smaller error."""
        step = 0.5 * (rate + now["rate"]) * hours / YEAR_H
        now["rate"] = rate
        lost, sigma = now["lost"] + step, now["sigma"] + step * np.where(blind, BLIND_SIGMA, RATE_SIGMA)
        ratio = x[:, ER]
        fresh = np.isnan(now["er_start"]) & np.isfinite(ratio)
        # the element's own loss so far is that of the state when its first value comes
        now["er_start"] = np.where(fresh, ratio * (1.0 - np.minimum(now["lost"], 400.0) / ELEMENT_UM), now["er_start"])
        seen = ELEMENT_UM * (1.0 - now["er_start"] / np.where(ratio > 0.0, ratio, np.nan))
        gain = hours / 6.0
        smooth = np.where(np.isnan(now["er"]), seen, now["er"] + min(gain, 1.0) * (seen - now["er"]))
        now["er"] = np.where(np.isnan(seen), now["er"], smooth)
        use = np.isfinite(seen)
        noise = ER_SIGMA_UM + 0.05 * np.maximum(now["er"], 0.0)
        weight = np.where(use, sigma**2 / (sigma**2 + noise**2), 0.0)
        now["lost"] = np.where(use, lost + weight * (np.maximum(now["er"], 0.0) - lost), lost)
        # the errors of a probe's samples are mostly common to them: they do not average out
        now["sigma"] = np.where(use, np.maximum(sigma * np.sqrt(1.0 - weight), 0.7 * noise), sigma)


CHARTS: Final = ("jacket", "humidity", "wetness", "corrosivity", "loss", "loss_sigma", "instrument")
"""In limits: CUSUM, hours of soaked air, wetness 0..1, rate over the worst of API RP 581, loss and its standard error
in 100 µm, sensors at fault."""


def loss_um(state: State) -> tuple[Floats, Floats]:
    """(A,) metal lost since the last inspection and its standard error, µm."""
    return state["lost"].copy(), state["sigma"].copy()


def faults(state: State) -> Codes:
    """(A, S) index into `FAULTS` of each sensor after the last row."""
    found: Codes = state["fault"].copy()
    return found


def inspected(state: State, which: NDArray[Any]) -> State:
    """The state after an inspection of points `which`: the loss begins anew, and so does an ER probe's."""
    after = {name: array.copy() for name, array in state.items()}
    for name in ("lost", "sigma", "rate"):
        after[name][which] = 0.0
    for name in ("er", "er_start"):
        after[name][which] = np.nan
    return after
