"""The simulated plants: what they say of themselves, and what may be done to them."""

from functools import cache
from typing import Annotated, Any, Final

from fastapi import Body, Depends, Path, Request
from starlette.responses import Response

from api import schema
from api.bus import Gateway
from api.context import api_router, context
from api.problems import accepted_language
from api.schema import answer, documented
from api.times import iso
from lab.text import catalogue

router = api_router("simulators")

Id = Annotated[str, Path(description="api.param.simulator", pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["tep-1"])]
Lang = Annotated[str, Depends(accepted_language)]

_PROBLEMS: Final = ("cross-origin", "not-found", "too-large", "invalid", "plant-refused", "broker", "plant-silent")
_REPLY: Final = {"id": "5f0c2a9be1d94c07", "ok": True, "detail": "", "result": {}, "kind": "reply"}
_SIMULATOR: Final[dict[str, Any]] = {
    "id": "tep-1",
    "gateway": "tep-1",
    "online": True,
    "at": "2026-01-01T00:00:00.000Z",
    "plant_s": 41460.0,
    "speed": 60,
    "running": True,
    "seed": 1,
    "tripped": None,
    "faults": [6],
    "sensor_faults": [],
    "actuator_faults": [],
    "setpoints": {"9": 230.31},
    "manual": [],
    "cost_per_h": 170.2,
    "trips": [{"tag": "xmeas_7", "value": 2705.0, "limit": 3000.0, "side": "high", "margin": 0.9}],
    "disturbances": [{"idv": 6, "name": "A feed loss", "type": "step"}],
    "loops": [{"loop": 9, "pv": "xmeas_19", "unit": "kg/h", "setpoint": 230.31, "lo": 0.0, "hi": 460.0}],
}


@cache
def plant_lists(kind: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Disturbances and loops of a kind of plant; loaded when a plant is first asked for."""
    if kind != "tep":
        return [], []
    from simulators.tep.variables import DISTURBANCES, LOOPS, VARIABLES

    units = {variable.tag: variable.unit for variable in VARIABLES}
    loops = [
        {"loop": loop.number, "pv": loop.pv, "unit": units[loop.pv], "lo": loop.lo, "hi": loop.hi} for loop in LOOPS
    ]
    return [{"idv": each.idv, "name": each.name, "type": each.type} for each in DISTURBANCES], loops


def describe(gateway: Gateway, lang: str) -> dict[str, Any]:
    """A plant's last status with its disturbances and loops."""
    status = gateway.status or {}
    asset = gateway.birth.assets[0] if gateway.birth and gateway.birth.assets else None
    kind = asset.kind if asset else ""
    disturbances, loops = plant_lists(kind)
    setpoints = status.get("setpoints")
    values = setpoints if isinstance(setpoints, dict) else {}
    return {
        **{name: value for name, value in status.items() if name != "kind"},
        "id": asset.id if asset else gateway.id,
        "gateway": gateway.id,
        "online": gateway.online,
        "at": iso(gateway.status_at),
        "disturbances": [
            {**each, "name": _name(f"idv.{kind}.{each['idv']}", each["name"], lang)} for each in disturbances
        ],
        "loops": [{**loop, "setpoint": values.get(str(loop["loop"]))} for loop in loops],
    }


def _name(key: str, name: str, lang: str) -> str:
    entry = catalogue().get(key)
    return entry[lang] if entry else name


@router.get(
    "/simulators",
    summary="api.op.simulators",
    response_model=schema.Simulators,
    responses=documented({"simulators": [_SIMULATOR]}),
)
async def get_simulators(request: Request, lang: Lang) -> Response:
    return answer({"simulators": [describe(each, lang) for each in context(request).bus.simulators()]})


@router.get(
    "/simulators/{id}",
    summary="api.op.simulator",
    response_model=schema.Simulator,
    responses=documented(_SIMULATOR, "not-found", "invalid"),
)
async def get_simulator(request: Request, id: Id, lang: Lang) -> Response:
    return answer(describe(context(request).bus.simulator(id), lang))


async def _command(request: Request, id: str, op: str, args: dict[str, object]) -> Response:
    bus = context(request).bus
    reply = await bus.command(bus.simulator(id), op, args)
    return answer({"id": reply.id, "ok": reply.ok, "detail": reply.detail, "result": reply.result, "kind": reply.kind})


@router.post(
    "/simulators/{id}/faults",
    summary="api.op.faults",
    response_model=schema.PlantReply,
    responses=documented(_REPLY, *_PROBLEMS),
)
async def post_fault(
    request: Request, id: Id, body: Annotated[schema.Fault, Body(openapi_examples=schema.FAULTS)]
) -> Response:
    ops = {schema.Disturbance: "fault", schema.SensorFault: "sensor_fault", schema.ActuatorFault: "actuator_fault"}
    return await _command(request, id, ops[type(body)], body.model_dump())


@router.post(
    "/simulators/{id}/setpoints",
    summary="api.op.setpoints",
    response_model=schema.PlantReply,
    responses=documented(_REPLY, *_PROBLEMS),
)
async def post_setpoint(
    request: Request, id: Id, body: Annotated[schema.Move, Body(openapi_examples=schema.MOVES)]
) -> Response:
    if isinstance(body, schema.Manual):
        return await _command(request, id, "manual", {"loop": body.loop, "on": body.manual})
    return await _command(request, id, "setpoint" if isinstance(body, schema.Setpoint) else "valve", body.model_dump())


@router.post(
    "/simulators/{id}/speed",
    summary="api.op.speed",
    response_model=schema.PlantReply,
    responses=documented(_REPLY, *_PROBLEMS),
)
async def post_speed(
    request: Request, id: Id, body: Annotated[schema.Pace, Body(openapi_examples=schema.PACES)]
) -> Response:
    if isinstance(body, schema.Running):
        return await _command(request, id, "run", {"on": body.running})
    return await _command(request, id, "speed", {"speed": body.speed})


@router.post(
    "/simulators/{id}/reset",
    summary="api.op.reset",
    response_model=schema.PlantReply,
    responses=documented(_REPLY, *_PROBLEMS),
)
async def post_reset(
    request: Request, id: Id, body: Annotated[schema.Reset, Body(openapi_examples=schema.RESETS)]
) -> Response:
    return await _command(request, id, "reset", {"seed": body.seed})
