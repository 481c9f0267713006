"""Drives steps from event to event: new segments of random walks, analyser samplings, records, blocks of noise.

The steps between two events are `stretch`, on floats for one plant (plain or compiled) or on rows for many. All paths
give the same bits, so which one is taken never shows.
"""

from bisect import bisect_left
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simulators.tep.constants import (
    CHANNEL_IDV,
    CHANNELS,
    CONTINUOUS,
    GAS_ANALYSERS,
    GAS_PERIOD_H,
    HELD_VALVE,
    MEASUREMENTS,
    NOISE,
    PRODUCT_PERIOD_H,
    STATES,
    STEP_H,
    VALVES,
)
from simulators.tep.disturbances import BLOCK, GAS, PRODUCT, Keyed, Reference, next_segment
from simulators.tep.state import ACTUATOR_FAULTS, SENSOR_FAULTS, Floats, Inputs, Integers, State
from simulators.tep.stretch import Work, rows, sensors, stretch
from simulators.tep.variables import LOOP_INDEX, LOOPS

Path = Literal["auto", "plain", "batch", "compiled"]
"""How steps are computed. plain: one plant after the other in Python floats; batch: all plants at once in NumPy;
compiled: one after the other by numba, if it is installed; auto: what is fastest."""

CHUNK: Final = 1024
"""Plants at once in a batch; more would leave the processor's cache."""
WORTH_COMPILING: Final = 20_000
"""Steps times plants from which loading numba pays."""

BIAS, DRIFT, FREEZE, SPIKE, NOISY, DROPOUT = (SENSOR_FAULTS.index(kind) for kind in SENSOR_FAULTS[1:])
STUCK, SLOW, SHIFTED, LOSS = (ACTUATOR_FAULTS.index(kind) for kind in ACTUATOR_FAULTS[1:])
SPIKES_PER_STEP: Final = 1.0 / 60.0
ANALYSER_NOISE: Final = np.array(NOISE[CONTINUOUS:])
STICKING: Final = ((14, (10,)), (15, (11,)), (19, (5, 7, 8, 9)))
"""Which valves stick with which disturbance."""


def drive(
    state: State, inputs: Inputs, steps: int, noise: bool, every: int, path: Path
) -> tuple[State, Floats, Integers]:
    """Advance all plants.

    Returns:
        The state after (its `trip` not yet looked at), records (n, rows, 52), and (n,) how many steps each plant was
        within its trip limits.
    """
    n = state.plants
    if path not in get_args(Path):
        raise ValueError(f"path {path!r}: want one of {', '.join(get_args(Path))}")
    if path == "auto":
        path = _fastest(n, steps, state.generator == "reference")
    size = CHUNK if path == "batch" else 1
    held = _begin_faults(state, inputs)
    results = [
        _Drive(held, inputs, np.arange(at, min(at + size, n)), noise, path).run(steps, every)
        for at in range(0, n, size)
    ]
    fields, records, lived = zip(*results, strict=True)
    arrays: dict[str, Any] = {
        name: np.concatenate([part[name] for part in fields]) for name in fields[0] if name[0] != "_"
    }
    after = replace(
        held,
        steps=state.steps + steps,
        hours=fields[0]["_hours"],
        analyser_next=fields[0]["_next"],
        analyser_count=fields[0]["_count"],
        **arrays,
    )
    return after, np.concatenate(records), np.concatenate(lived)


@cache
def _can_compile() -> bool:
    if find_spec("numba") is None:
        return False
    try:
        import numba  # noqa: F401
    except ImportError:  # there, but not for this NumPy
        return False
    return True


@cache
def _compiled() -> Any:
    from simulators.tep.compiled import compile_stretch

    return compile_stretch()


def _fastest(n: int, steps: int, reference: bool) -> Path:
    """The path with the least cost by a rough model, in microseconds."""
    setup = 900
    cost: dict[Path, float] = {
        "plain": n * (setup + steps * (90 if reference else 60)),
        "batch": setup + steps * ((1800 if reference else 600) + 1.5 * n),
    }
    if _compiled.cache_info().currsize or (n * steps >= WORTH_COMPILING and _can_compile()):
        cost["compiled"] = n * (setup + steps * 4)
    return min(cost, key=lambda path: cost[path])


def _begin_faults(state: State, inputs: Inputs) -> State:
    """Remember when a sensor's fault began and what it showed then."""
    new = inputs.sensor_kind != state.sensor_kind
    if not new.any():
        return state
    return replace(
        state,
        sensor_kind=inputs.sensor_kind.copy(),
        sensor_onset=np.where(new, state.steps, state.sensor_onset),
        sensor_held=np.where(new, state.xmeas, state.sensor_held),
    )


class _Drive:
    """One group of plants on its way: a batch, or a single plant (plain or compiled)."""

    def __init__(self, state: State, inputs: Inputs, plants: Integers, noise: bool, path: Path) -> None:
        self.state, self.inputs, self.plants, self.noise, self.path = state, inputs, plants, noise, path
        self.seeds = [state.seeds[p] for p in plants]
        self.reference = state.generator == "reference"
        self.keyed = Keyed()
        # NumPy adds a single column in another order than a plant among others, so it gets company
        self.columns = np.resize(plants, max(2, len(plants))) if path == "batch" else plants
        self.work = self._work()
        self.gas_next, self.product_next = state.analyser_next
        self.gas_count, self.product_count = state.analyser_count
        self.samples = state.samples[plants].copy()
        self.segments = state.segment_count[plants].copy()
        self.step = rows(len(self.columns)) if path == "batch" else _compiled() if path == "compiled" else stretch

    def _in(self, values: NDArray[Any]) -> Any:
        """(n, k) numbers of the state as the path wants them: (k, columns), a list of k, or (k,)."""
        part = np.asarray(values[self.columns], float)
        if self.path == "batch":
            return np.ascontiguousarray(np.moveaxis(part, 0, -1))
        return part[0].tolist() if self.path == "plain" else np.ascontiguousarray(part[0])

    def _out(self, values: Any) -> Floats:
        """The reverse, (plants, k)."""
        if self.path == "batch":
            return np.ascontiguousarray(np.moveaxis(values, -1, 0)[: len(self.plants)])
        return np.array(values, float)[None]

    def _work(self) -> Work:
        state, inputs = self.state, self.inputs
        n = state.plants
        kind, size = inputs.sensor_kind, inputs.sensor_size
        gain = np.where((kind == FREEZE) | (kind == DROPOUT), 0.0, 1.0)
        offset = np.select([kind == BIAS, kind == FREEZE, kind == DROPOUT], [size, state.sensor_held, np.nan], 0.0)
        stick = np.zeros((n, VALVES))
        for idv, stuck in STICKING:
            for valve in stuck:
                stick[:, valve - 1] = np.maximum(stick[:, valve - 1], inputs.idv[:, idv - 1])
        auto, forced, setpoints = self._loops()
        valve_kind, valve_size = inputs.actuator_kind, inputs.actuator_size
        x = state.xmeas.copy()
        x[:, CONTINUOUS:] = np.where(kind[:, CONTINUOUS:] == 0, state.analysers, x[:, CONTINUOUS:])
        return Work(
            y=self._in(state.y),
            dy=self._in(np.zeros((n, STATES))),
            guess=self._in(state.temperatures),
            x=self._in(x),
            true=self._in(np.zeros((n, 19))),
            display=self._in(state.analysers),
            xmv=self._in(state.xmv),
            command=self._in(state.command),
            stick=self._in(stick),
            walk=self._in(state.walk),
            segment=self._in(self._segments()),
            idv=self._in(inputs.idv[:, :7]),
            sp=self._in(setpoints),
            err=self._in(state.errors),
            override=self._in(state.override[:, None]),
            auto=self._in(auto),
            forced=self._in(forced),
            gain=self._in(gain),
            offset=self._in(offset),
            slope=self._in(np.where(kind == DRIFT, size, 0.0)),
            onset=self._in(state.sensor_onset / 3600.0),
            valve_gain=self._in(np.where(valve_kind == LOSS, 1.0 - valve_size, 1.0)),
            valve_bias=self._in(np.where(valve_kind == SHIFTED, valve_size, 0.0)),
            valve_rate=self._in(
                np.select([valve_kind == STUCK, valve_kind == SLOW], [0.0, 1.0 / np.maximum(valve_size, 1.0)], 1.0)
            ),
            g=self._in(state.random[:, None]),
            z=self._in(np.zeros((n, CONTINUOUS))),
            lived=self._in(np.zeros((n, 1))),
            snapshot=self._in(np.zeros((n, MEASUREMENTS + VALVES))),
        )

    def _loops(self) -> tuple[Floats, Floats, Floats]:
        """(n, 19) whether each loop moves its output, (n, 12) forced outputs, (n, 19) set points."""
        inputs = self.inputs
        fixed = np.isfinite(inputs.setpoint)
        auto = np.where(inputs.manual, 0.0, 1.0)
        setpoints = self.state.setpoints.copy()
        slaves = {loop.slave for loop in LOOPS}
        for k, loop in enumerate(LOOPS):
            if loop.slave:
                auto[:, k] *= ~fixed[:, LOOP_INDEX[loop.slave]]
            if loop.number not in slaves:
                setpoints[:, k] = loop.setpoint
        setpoints = np.where(fixed, inputs.setpoint, setpoints)
        forced = inputs.valve.copy()
        forced[:, :11] = np.where(inputs.manual[:, :11], forced[:, :11], np.nan)
        held = inputs.idv[:, 20]
        forced[held, 3] = HELD_VALVE
        auto[held, 3] = 0.0
        return auto, forced, setpoints

    def _segments(self) -> Floats:
        """(n, 6, 20) segments; the additional disturbances' begin now where one of them is switched on first."""
        segment = np.swapaxes(self.state.segment, 1, 2).copy()
        waking = self.inputs.extra.any(axis=1) & np.isinf(segment[:, 1, 12])
        segment[waking, :2, 12:] = self.state.hours
        return segment

    def run(self, steps: int, every: int) -> tuple[dict[str, Any], Floats, Integers]:
        """All steps; the state's changed arrays, records (plants, rows, 52), and (plants,) steps without a trip."""
        work, state, inputs = self.work, self.state, self.inputs
        times: list[float] = np.cumsum(np.array([state.hours] + [STEP_H] * steps)).tolist()
        here = self.columns
        origin = state.steps + 1
        end = state.steps + steps
        kinds = inputs.sensor_kind[here]
        faulty = np.flatnonzero((kinds > 0).any(axis=0))
        jolting = [f for f, j in enumerate(faulty) if ((kinds[:, j] == SPIKE) | (kinds[:, j] == NOISY)).any()]
        # the first control acts on what was measured last, which may be a gap of a sensor mended since
        gaps = bool(np.isnan(np.array(work.offset)).any() or np.isnan(np.array(work.x)).any())
        acting = bool((inputs.actuator_kind[here] > 0).any())
        forcing = bool(np.isfinite(np.array(work.forced)).any())
        keyed_noise = self.noise and not self.reference
        clock = np.array(times) if self.path == "compiled" else times
        faulty_list: Any = faulty if self.path == "compiled" else faulty.tolist()
        noise: Any = self._numbers(np.zeros((1, BLOCK, CONTINUOUS)))
        jolts: Any = self._numbers(np.zeros((1, BLOCK, max(1, len(faulty)))))
        records = np.empty((len(self.plants), end // every - state.steps // every if every else 0, 52))
        kept = 0
        coefficients = state.segment[self.plants, :, 3:]
        moving: list[int] = np.flatnonzero((coefficients != 0.0).any(axis=(0, 2))).tolist()
        wake = self._wake()
        block = -1
        step = origin
        while step <= end:
            t = times[step - origin]
            if wake <= t:
                touched = self._new_segments(t)
                moving = sorted({*moving, *touched} - {k for k in touched if self._at_rest(k)})
                wake = self._wake()
            if (step - 1) // BLOCK != block:
                block = (step - 1) // BLOCK
                if keyed_noise:
                    noise = self._numbers(self.keyed.noise(self.seeds, block))
                if jolting:
                    jolts = self._numbers(self._jolts(faulty, block))
            last = min(
                end,
                (block + 1) * BLOCK,
                origin + max(bisect_left(times, wake) - 1, step - origin),
                origin + bisect_left(times, min(self.gas_next, self.product_next)),
                -(-step // every) * every if every else end,
            )
            self.step(
                work, step, last, origin, clock, every, self.reference, self.noise, noise, block * BLOCK + 1,
                np.array(moving, np.int64) if self.path == "compiled" else moving,
                forcing, acting, gaps, faulty_list, jolts,
            )  # fmt: skip
            if every and last % every == 0:
                records[:, kept] = self._out(work.snapshot)[:, :52]
                kept += 1
            t = times[last - origin]
            if t >= min(self.gas_next, self.product_next):
                self._analyse(t)
                analysed = [(f, j) for f, j in enumerate(faulty_list) if j >= CONTINUOUS]
                if analysed:
                    jolt = jolts[last - block * BLOCK - 1]
                    sensors(work, [j for _, j in analysed], [jolt[f] for f, _ in analysed], t)
            step = last + 1
        return self._result(times[-1]), records, self._out(work.lived)[:, 0].astype(np.int64)

    def _result(self, hours: float) -> dict[str, Any]:
        work = self.work
        return {
            "_hours": hours,
            "_next": (self.gas_next, self.product_next),
            "_count": (self.gas_count, self.product_count),
            "y": self._out(work.y),
            "temperatures": self._out(work.guess),
            "xmeas": self._out(work.x),
            "xmv": self._out(work.xmv),
            "command": self._out(work.command),
            "setpoints": self._out(work.sp),
            "errors": self._out(work.err),
            "override": self._out(work.override)[:, 0],
            "analysers": self._out(work.display),
            "samples": self.samples,
            "walk": self._out(work.walk),
            "segment": np.swapaxes(self._out(work.segment), 1, 2),
            "segment_count": self.segments,
            "random": self._out(work.g)[:, 0],
        }

    def _numbers(self, values: Floats) -> Any:
        """(plants, BLOCK, k) numbers as the path wants them, the step first."""
        if self.path == "batch":
            return np.moveaxis(values[np.resize(np.arange(len(values)), len(self.columns))], 0, -1)
        return values[0].tolist() if self.path == "plain" else values[0]

    def _jolts(self, faulty: Integers, block: int) -> Floats:
        """(plants, BLOCK, faulty sensors) what noisy and spiking sensors add."""
        found = np.zeros((len(self.plants), BLOCK, len(faulty)))
        for row, (p, seed) in enumerate(zip(self.plants, self.seeds, strict=True)):
            for f, j in enumerate(faulty):
                kind, size = self.inputs.sensor_kind[p, j], self.inputs.sensor_size[p, j]
                if kind in (SPIKE, NOISY):
                    normal, uniform = self.keyed.jolts(seed, int(j), block)
                    shape = normal if kind == NOISY else np.sign(normal) * (uniform < SPIKES_PER_STEP)
                    found[row, :, f] = size * shape
        return found

    def _wake(self) -> float:
        """When the next segment ends, h."""
        return float(np.min(self.work.segment[1]))

    def _at_rest(self, channel: int) -> bool:
        """Whether a channel stands still in all plants."""
        return not any(np.any(np.asarray(self.work.segment[c][channel]) != 0.0) for c in (3, 4, 5))

    def _new_segments(self, t: float) -> list[int]:
        """Begin the segments that are due at `t` hours, plant by plant in the order of channels; the channels."""
        segment, walk, g = self.work.segment, self.work.walk, self.work.g
        batch = self.path == "batch"
        ends = np.asarray(segment[1]).reshape(CHANNELS, -1)
        touched = set()
        # the extra column of a lone plant in a batch must follow it
        for row, k in np.argwhere(t >= ends.T).tolist():
            index: Any = (k, row) if batch else k
            place = row % len(self.plants)
            p = self.plants[place]
            flag = self.inputs.idv[p, CHANNEL_IDV[k] - 1] if k < 12 else self.inputs.extra[p, k - 12]
            before = [float(part[index]) for part in segment]
            if self.reference and k < 12:
                g_index: Any = (0, row) if batch else 0
                generator = Reference(float(g[g_index]))
                after = next_segment(k, float(flag), before, generator.bipolar)
                g[g_index] = generator.g
            else:
                count = int(self.segments[place, k])
                uniform = iter(self.keyed.bipolar(self.seeds[place], k, count))
                after = next_segment(k, float(flag), before, uniform.__next__)
            for part, value in zip(segment, after, strict=True):
                part[index] = value
            walk[index] = after[2]
            if row == place:
                self.segments[place, k] += 1
            touched.add(k)
        return sorted(touched)

    def _analyse(self, t: float) -> None:
        """Sample the analysers that are due at `t` hours: what they held is shown, what is true now is held."""
        work = self.work
        true, display = self._out(work.true), self._out(work.display)
        for use, first, last in ((GAS, 0, GAS_ANALYSERS), (PRODUCT, GAS_ANALYSERS, 19)):
            if t < (self.gas_next if use == GAS else self.product_next):
                continue
            count = self.gas_count if use == GAS else self.product_count
            shown = self.samples[:, first:last].copy()
            if self.reference:
                shown += self._reference_noise(last - first) * self.noise * ANALYSER_NOISE[first:last]
            elif self.noise:
                shown += self.keyed.analyser(self.seeds, use, count, last - first) * ANALYSER_NOISE[first:last]
            display[:, first:last] = shown
            self.samples[:, first:last] = true[:, first:last]
            if use == GAS:
                self.gas_next, self.gas_count = self.gas_next + GAS_PERIOD_H, count + 1
            else:
                self.product_next, self.product_count = self.product_next + PRODUCT_PERIOD_H, count + 1
        if self.path == "batch":
            columns = np.resize(np.arange(len(self.plants)), len(self.columns))
            work.display[:] = display[columns].T
            work.x[CONTINUOUS:] = work.display
        else:
            work.display[:] = display[0].tolist() if self.path == "plain" else display[0]
            work.x[CONTINUOUS:] = work.display

    def _reference_noise(self, size: int) -> Floats:
        """(plants, size) numbers of the reference generator."""
        g = self.work.g
        found = np.empty((len(self.plants), size))
        for row in range(len(self.columns)):
            index: Any = (0, row) if self.path == "batch" else 0
            generator = Reference(float(g[index]))
            found[row % len(self.plants)] = [generator.gaussian() for _ in range(size)]
            g[index] = generator.g
        return found
