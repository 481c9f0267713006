"""The Tennessee Eastman plant as a device: measured like a real one, and it takes commands to break things.

A plant's readings follow from its seed and its commands alone. It scans at whole plant seconds, every `speed` of them
(at most 180) and at every multiple of 180, so that at any speed the scans of the benchmark files are among them.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from devices.agent import Agent
from devices.frame import Asset, Channel, Command, Limits, Reply
from devices.quality import CODES
from simulators import tep
from simulators.tep.plant import advance_recording

KIND: Final = "tep"
PERIOD_S: Final = 180
"""Of the benchmark files, in plant seconds."""
SPEEDS: Final = (1.0, 600.0)
STATUS_S: Final = 1.0
SLIP_S: Final = 2.0
"""Further behind the wall clock than this, the plant gives the time up and goes on from now."""
DIGITS: Final = 5
"""Significant digits of a reading, as in the benchmark files."""
EXPIRE_S: Final = 10.0


def asset(id: str, name: str = "") -> Asset:
    """The asset of a simulated plant."""
    return Asset(id, KIND, name, clock="plant_s", period_s=float(PERIOD_S))


def channels() -> list[Channel]:
    """The channels of a plant, in the order of `Plant.scan`: XMEAS 1..41, XMV 1..12, its clock and its trip."""
    found = []
    for variable in tep.VARIABLES:
        limits = Limits(variable.lo_trip, variable.lo_alarm, variable.hi_alarm, variable.hi_trip)
        found.append(
            Channel(
                variable.tag,
                variable.unit,
                name=variable.name,
                # the agitator never moves: a model could learn nothing from it
                role="status"
                if variable.tag == "xmv_12"
                else "manipulated"
                if "xmv" in variable.tag
                else "measurement",
                lo=variable.lo,
                hi=variable.hi,
                limits=None if limits == Limits() else limits,
                expire_s=EXPIRE_S,
                decimals=variable.decimals,
                controlled=variable.tag in tep.CONTROLLED,
            )
        )
    found.append(Channel("plant_s", "s", name="Plant clock", role="status", expire_s=EXPIRE_S, decimals=0))
    found.append(Channel("trip", "1", name="Trip", role="status", expire_s=EXPIRE_S, decimals=0))
    return found


class _Args(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Fault(_Args):
    idv: int
    on: bool = True


class _Setpoint(_Args):
    loop: int
    value: float | None


class _Manual(_Args):
    loop: int
    on: bool = True


class _Valve(_Args):
    xmv: int
    value: float | None


class _SensorFault(_Args):
    tag: str
    kind: str = "none"
    size: float = 0.0
    on: bool = True


class _ActuatorFault(_Args):
    xmv: int
    kind: str = "none"
    size: float = 0.0
    on: bool = True


class _Speed(_Args):
    speed: Annotated[float, msgspec.Meta(ge=SPEEDS[0], le=SPEEDS[1])]


class _Run(_Args):
    on: bool


class _Reset(_Args):
    seed: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Plant:
    """One plant without a clock: somebody says to which plant second it advances, and when it is measured."""

    def __init__(self, seed: int = 1, speed: float = 60.0) -> None:
        """At the base case.

        Raises:
            ValueError: a negative seed, or a speed that is not 1 to 600.
        """
        if not SPEEDS[0] <= speed <= SPEEDS[1]:
            raise ValueError(f"speed {speed}: want {SPEEDS[0]:g} to {SPEEDS[1]:g}")
        self.seed, self.speed, self.running = seed, speed, True
        self._state = tep.start([seed])
        self._inputs = tep.Inputs.none(1)
        self._lo = np.array([variable.lo for variable in tep.VARIABLES])
        self._hi = np.array([variable.hi for variable in tep.VARIABLES])
        self._operations: dict[str, Callable[[Mapping[str, object]], None]] = {
            "fault": self._fault,
            "setpoint": self._setpoint,
            "manual": self._manual,
            "valve": self._valve,
            "sensor_fault": self._sensor_fault,
            "actuator_fault": self._actuator_fault,
            "speed": self._speed,
            "run": self._run,
            "reset": self._reset,
        }

    @property
    def seconds(self) -> int:
        """The plant's clock."""
        return self._state.steps

    def next_scan(self) -> int:
        """The plant second of the next scan."""
        every = min(PERIOD_S, max(1, round(self.speed)))
        now = self.seconds
        return min(now - now % every + every, now - now % PERIOD_S + PERIOD_S)

    def advance_to(self, seconds: int) -> None:
        """Live until a plant second; one that is past changes nothing."""
        self._state = tep.advance(self._state, self._inputs, max(0, seconds - self.seconds))

    def scan(self) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Advance to the next scan and measure: values (1, 55) in the order of `channels`, and their quality codes.

        The values are those of the benchmark's record at this second: what was measured before the step, and the valves
        as the controllers set them upon it. Read off the state after the step, the two would not belong together.
        """
        at = self.next_scan()
        self._state, records = advance_recording(self._state, self._inputs, at - self.seconds, True, at)
        v = tep.round_records(np.append(records[0, 0], self._state.xmv[0, 11]), DIGITS)
        q = np.where((v < self._lo) | (v > self._hi), CODES["bad:range"], 0)
        q[np.isnan(v)] = CODES["bad:comm"]
        v = np.append(v, [float(at), float(self._state.trip[0])])
        return v[None, :], np.append(q, [0, 0]).astype(np.uint8)[None, :]

    def carry_out(self, command: Command) -> Reply:
        """Do what a command says, at the plant second it is at; a wrong one changes nothing and the reply says why."""
        operation = self._operations.get(command.op)
        if operation is None:
            return Reply(command.id, False, f"no operation {command.op!r}: want {', '.join(self._operations)}")
        try:
            operation(command.args)
        except tep.Refused as error:
            return Reply(command.id, False, f"{command.op}: {error}", {"code": error.code, "values": error.values})
        except (msgspec.ValidationError, ValueError) as error:
            return Reply(command.id, False, f"{command.op}: {error}")
        return Reply(command.id, True, result={"plant_s": self.seconds})

    def _fault(self, given: Mapping[str, object]) -> None:
        args = msgspec.convert(given, _Fault)
        self._inputs.set_fault(0, args.idv, args.on)

    def _setpoint(self, given: Mapping[str, object]) -> None:
        args = msgspec.convert(given, _Setpoint)
        self._inputs.set_setpoint(0, args.loop, args.value)

    def _manual(self, given: Mapping[str, object]) -> None:
        args = msgspec.convert(given, _Manual)
        self._inputs.set_manual(0, args.loop, args.on)

    def _valve(self, given: Mapping[str, object]) -> None:
        args = msgspec.convert(given, _Valve)
        self._inputs.set_valve(0, args.xmv, args.value)

    def _sensor_fault(self, given: Mapping[str, object]) -> None:
        args = msgspec.convert(given, _SensorFault)
        _check_size(args, ("bias", "drift", "spike", "noise"))
        self._inputs.set_sensor_fault(0, args.tag, args.kind if args.on else "none", args.size if args.on else 0.0)

    def _actuator_fault(self, given: Mapping[str, object]) -> None:
        args = msgspec.convert(given, _ActuatorFault)
        _check_size(args, ("slow", "bias", "lossofeffect"))
        self._inputs.set_actuator_fault(0, args.xmv, args.kind if args.on else "none", args.size if args.on else 0.0)

    def _speed(self, given: Mapping[str, object]) -> None:
        self.speed = msgspec.convert(given, _Speed).speed

    def _run(self, given: Mapping[str, object]) -> None:
        self.running = msgspec.convert(given, _Run).on

    def _reset(self, given: Mapping[str, object]) -> None:
        args = msgspec.convert(given, _Reset)
        seed = self.seed if args.seed is None else args.seed
        self._state = tep.start([seed])
        self.seed = seed
        self._inputs = tep.Inputs.none(1)

    def status(self) -> dict[str, Any]:
        """What the page of a simulated plant shows; see the documentation of the `status` event."""
        state, inputs = self._state, self._inputs
        return {
            "kind": "status",
            "plant_s": self.seconds,
            "speed": self.speed,
            "running": self.running,
            "seed": self.seed,
            "tripped": tep.TRIPS[state.trip[0]] or None,
            "faults": [int(k) + 1 for k in np.flatnonzero(inputs.idv[0])],
            "sensor_faults": [
                {"tag": f"xmeas_{k + 1}", "kind": tep.SENSOR_FAULTS[inputs.sensor_kind[0, k]], "size": size}
                for k in np.flatnonzero(inputs.sensor_kind[0]).tolist()
                for size in [float(inputs.sensor_size[0, k])]
            ],
            "actuator_faults": [
                {"xmv": k + 1, "kind": tep.ACTUATOR_FAULTS[inputs.actuator_kind[0, k]], "size": size}
                for k in np.flatnonzero(inputs.actuator_kind[0]).tolist()
                for size in [float(inputs.actuator_size[0, k])]
            ],
            "setpoints": {str(loop.number): float(state.setpoints[0, k]) for k, loop in enumerate(tep.LOOPS)},
            "manual": [loop.number for k, loop in enumerate(tep.LOOPS) if inputs.manual[0, k]],
            "cost_per_h": float(tep.cost(state)[0]),
            "trips": [
                {
                    "tag": margin.tag,
                    "value": float(margin.value[0]),
                    "limit": margin.limit,
                    "side": margin.side,
                    "margin": float(margin.margin[0]),
                }
                for margin in tep.trip_margins(state)
            ],
        }


def _check_size(args: _SensorFault | _ActuatorFault, sized: Sequence[str]) -> None:
    if args.on and args.kind == "none":
        raise ValueError("say which kind of fault, or on: false to mend it")
    if args.on and args.kind in sized and args.size == 0.0:
        raise tep.Refused("size", f"a fault of kind {args.kind} needs a size other than 0")


class Pace:
    """Plant seconds against the wall clock, without drift: both count from the last change of speed."""

    def __init__(self, now: float, seconds: float, speed: float) -> None:
        self._history: deque[tuple[float, float]] = deque(maxlen=12)
        self.restart(now, seconds, speed)

    def restart(self, now: float, seconds: float, speed: float) -> None:
        """Count from here."""
        self._now, self._seconds, self._speed = now, seconds, speed

    def due(self, seconds: float) -> float:
        """When it is time for a plant second."""
        return self._now + (seconds - self._seconds) / self._speed

    def reached(self, now: float) -> float:
        """The plant second it should be."""
        return self._seconds + (now - self._now) * self._speed

    def note(self, now: float, seconds: float) -> None:
        """Remember how far it is, once in a while."""
        self._history.append((now, seconds))

    def forget(self) -> None:
        """What was noted is of another speed."""
        self._history.clear()

    def achieved(self) -> float | None:
        """The speed really reached since the notes begin; None without two."""
        if len(self._history) < 2:
            return None
        (t0, s0), (t1, s1) = self._history[0], self._history[-1]
        return (s1 - s0) / (t1 - t0) if t1 > t0 else None


class _Running:
    """One plant at work: its agent, its pace, the commands that wait."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.agent: Agent | None = None
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.pace = Pace(time.monotonic(), plant.seconds, plant.speed)
        self.status_at = float("-inf")
        self.slipped = 0

    def turn(self) -> float:
        """Do what is due; when to come again, on the monotonic clock."""
        assert self.agent is not None
        plant, pace = self.plant, self.pace
        while not self.commands.empty():
            self._carry_out(self.commands.get())
        now = time.monotonic()
        if plant.running:
            if now - pace.due(plant.next_scan()) > SLIP_S:
                self.slipped += 1
                pace.restart(now, plant.seconds, plant.speed)
            while plant.next_scan() <= pace.reached(now):
                v, q = plant.scan()
                self.agent.send(np.array([time.time_ns()]), v, q)
                if not self.commands.empty():
                    break
        if now - self.status_at >= STATUS_S:
            self.status_at = max(self.status_at + STATUS_S, now - STATUS_S / 2)
            self._tell(now)
        due = [self.status_at + STATUS_S]
        if plant.running:
            due.append(pace.due(plant.next_scan()))
        return min(due)

    def _tell(self, now: float) -> None:
        assert self.agent is not None
        if self.plant.running:
            self.pace.note(now, self.plant.seconds)
        status = self.plant.status()
        status["achieved"] = self.pace.achieved()
        self.agent.event(status, retain=True)

    def _carry_out(self, command: Command) -> None:
        assert self.agent is not None
        plant, now = self.plant, time.monotonic()
        if plant.running:  # the plant second of the command is the one it came in, not that of the last scan
            plant.advance_to(min(int(self.pace.reached(now)), plant.next_scan() - 1))
        reply = plant.carry_out(command)
        if reply.ok and command.op in {"speed", "run", "reset"}:
            self.pace.restart(now, plant.seconds, plant.speed)
            self.pace.forget()
        self.agent.reply(reply)
        self.status_at = float("-inf")


def run_plants(
    plants: Mapping[str, Plant],
    connect: Callable[[str, Callable[[Command], Reply | None]], Agent],
    stop: threading.Event,
) -> None:
    """Run plants at their pace until `stop` is set; then their agents are stopped.

    Args:
        plants: by gateway id, which is the asset id too.
        connect: makes the agent of a gateway, given its id and what to call with each command.
        stop: ends it, within a second.
    """
    wake = threading.Event()
    running = {id: _Running(plant) for id, plant in plants.items()}

    def desk(id: str) -> Callable[[Command], Reply | None]:
        def take(command: Command) -> Reply | None:
            running[id].commands.put(command)
            wake.set()
            return None

        return take

    try:
        for id, each in running.items():
            each.agent = connect(id, desk(id))
            each.agent.start()
        while not stop.is_set():
            wake.clear()
            soonest = min(each.turn() for each in running.values())
            wake.wait(min(max(0.0, soonest - time.monotonic()), 0.5))
    finally:
        for each in running.values():
            if each.agent is not None:
                each.agent.stop()
