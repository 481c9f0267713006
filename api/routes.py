"""What was measured and what it means: assets, sensors, history, scores, episodes."""

from functools import partial
from typing import Annotated, Final

from fastapi import Body, Depends, Path, Query, Request
from starlette.responses import Response

from api import queries, schema
from api.bus import SILENT_S
from api.context import Context, api_router, context
from api.problems import accepted_language, bad_field
from api.queries import Live
from api.schema import answer, documented
from api.times import parse_span, parse_time

MAX_POINTS: Final = 5000
MAX_SENSORS: Final = 200
MAX_ALTOGETHER: Final = 200_000
"""Points times sensors of one answer: what keeps the server small and the answer under a second."""

Id = Annotated[str, Path(description="api.param.asset", pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["tep-1"])]
Lang = Annotated[str, Depends(accepted_language)]
From = Annotated[str | None, Query(alias="from", description="api.param.from", max_length=40, examples=["-15m"])]
To = Annotated[str | None, Query(description="api.param.to", max_length=40, examples=["2026-01-01T00:00:00Z", "now"])]
Points = Annotated[int, Query(description="api.param.points", ge=1, le=MAX_POINTS, examples=[500])]

router = api_router("lab")

_ASSET: Final = {
    "id": "tep-1",
    "kind": "tep",
    "name": "Tennessee Eastman",
    "gateway": "tep-1",
    "online": True,
    "simulator": True,
    "health": "ok",
    "score": 0.41,
    "limit": 1.0,
    "alarm": False,
    "warm": True,
    "last": "2026-01-01T00:00:00.000Z",
    "sensors": 53,
    "episodes_open": 0,
    "told": None,
}

_EXPLAINED: Final = {
    "cause": "idv_1",
    "causes": [
        {"cause": "idv_1", "name": "A/C feed ratio in stream 4, B constant", "probability": 0.81},
        {"cause": "idv_13", "name": "Reaction kinetics", "probability": 0.07},
    ],
    "unknown": 0.12,
    "outlook": {
        "sensor": "xmeas_7",
        "name": "Reactor pressure",
        "time_s": 9300.0,
        "low_s": 4100.0,
        "high_s": 16200.0,
        "first_at": "2026-01-01T00:00:12.000Z",
        "first_s": 21000.0,
        "reached": None,
        "lead_s": None,
        "limit": 3000.0,
        "silent_s": None,
        "unseen": [],
        "watched": 11,
    },
}


def live_of(found: Context) -> Live:
    """The last live words, and whether their speaker is still there."""
    return Live(found.hub.assets, found.bus.connected and found.bus.silent_s <= SILENT_S)


@router.get(
    "/assets",
    summary="api.op.assets",
    response_model=schema.Assets,
    responses=documented({"assets": [_ASSET]}, "not-started", "historian"),
)
async def get_assets(request: Request) -> Response:
    lab = context(request)
    return answer({"assets": await lab.readers.run(partial(queries.assets, live=live_of(lab)))})


@router.get(
    "/assets/{id}",
    summary="api.op.asset",
    response_model=schema.AssetDetail,
    responses=documented(
        {
            **_ASSET,
            "score": 4.2,
            "alarm": True,
            "health": "alarm",
            "episodes_open": 1,
            "leading": [{"tag": "xmeas_1", "name": "A feed", "share": 0.62}],
            "model": "5f0c2a9be1d9",
            "accepted": False,
            "drift": 1.2,
            "episode": "tep-1-64499a2a0c2a0",
            "episode_kind": "process",
            "failed": None,
            "suspects": [],
            "upset": [],
            **_EXPLAINED,
            "instruments": [
                {
                    "sensor": "xmeas_9",
                    "name": "Reactor temperature",
                    "fault": "spiking",
                    "times": 12,
                    "since_s": 50_400.0,
                    "ago_s": 540.0,
                }
            ],
        },
        "not-found",
        "invalid",
        "not-started",
        "historian",
    ),
)
async def get_asset(request: Request, id: Id, lang: Lang) -> Response:
    lab = context(request)
    return answer(await lab.readers.run(partial(queries.asset, live=live_of(lab), id=id, lang=lang)))


@router.get(
    "/assets/{id}/sensors",
    summary="api.op.sensors",
    response_model=schema.Sensors,
    responses=documented(
        {
            "sensors": [
                {
                    "key": "tep-1/xmeas_9",
                    "tag": "xmeas_9",
                    "name": "Reactor temperature",
                    "unit": "degC",
                    "role": "measurement",
                    "lo": 0.0,
                    "hi": 200.0,
                    "limits": {"hi_alarm": 150.0, "hi_trip": 175.0},
                    "decimals": 2,
                    "value": 120.4,
                    "quality": "good",
                    "last": "2026-01-01T00:00:00.000Z",
                    "stale": False,
                }
            ]
        },
        "not-found",
        "invalid",
        "not-started",
        "historian",
    ),
)
async def get_sensors(request: Request, id: Id, lang: Lang) -> Response:
    rows = await context(request).readers.run(partial(queries.sensors, id=id, lang=lang))
    return answer({"sensors": rows})


@router.get(
    "/series",
    summary="api.op.series",
    response_model=schema.SeriesAnswer,
    responses=documented(
        {
            "from": 1764000000000,
            "to": 1764000900000,
            "series": {
                "tep-1/xmeas_9": {
                    "t": [1764000000100, 1764000001100],
                    "v": [120.4, None],
                    "lo": [120.4, None],
                    "hi": [120.4, None],
                    "q": [0, 129],
                    "raw": True,
                }
            },
        },
        "invalid",
        "not-started",
        "historian",
    ),
)
async def get_series(
    request: Request,
    sensors: Annotated[
        str, Query(description="api.param.sensors", max_length=27_000, examples=["tep-1/xmeas_9,tep-1/~score"])
    ],
    start: From = None,
    to: To = None,
    points: Points = 500,
) -> Response:
    keys = sensor_keys(sensors)
    if len(keys) * points > MAX_ALTOGETHER:
        raise bad_field("points", "altogether", sensors=len(keys), points=points, most=MAX_ALTOGETHER)
    span = parse_span(start, to)
    return await context(request).readers.run(
        lambda reader: answer(queries.series(reader, keys, span, points))  # encoded in the reader's thread too
    )


def sensor_keys(sensors: str) -> list[str]:
    """The keys of a comma separated list, each once.

    Raises:
        Problem: there are none, too many, or one is not `asset/tag`.
    """
    keys = list(dict.fromkeys(key for part in sensors.split(",") if (key := part.strip())))
    if not keys:
        raise bad_field("sensors", "no_sensors")
    if len(keys) > MAX_SENSORS:
        raise bad_field("sensors", "sensors", most=MAX_SENSORS, got=len(keys))
    for key in keys:
        asset, slash, tag = key.partition("/")
        if not asset or not slash or not tag or "/" in tag or len(key) > 130:
            raise bad_field("sensors", "sensor", key=key[:130])
    return keys


@router.get(
    "/assets/{id}/score",
    summary="api.op.score",
    response_model=schema.Score,
    responses=documented(
        {"limit": 1.0, "t": [1764000000100], "score": [0.41], "statistics": {"energy": [0.3], "sensor": [0.4]}},
        "not-found",
        "invalid",
        "not-started",
        "historian",
    ),
)
async def get_score(request: Request, id: Id, start: From = None, to: To = None, points: Points = 500) -> Response:
    lab = context(request)
    span = parse_span(start, to)
    word = lab.hub.assets.get(id)
    limit = word.limit if word else None
    return await lab.readers.run(lambda reader: answer(queries.score(reader, id, limit, span, points)))


@router.get(
    "/episodes",
    summary="api.op.episodes",
    response_model=schema.Episodes,
    responses=documented(
        {
            "episodes": [
                {
                    "id": "tep-1-1764000000100",
                    "asset": "tep-1",
                    "kind": "process",
                    "start": "2026-01-01T00:00:00.000Z",
                    "end": None,
                    "peak": 7.1,
                    "peak_at": "2026-01-01T00:01:00.000Z",
                    "leading": [["xmeas_1", 0.62], ["xmv_3", 0.21]],
                    **_EXPLAINED,
                    "cause_name": "A/C feed ratio in stream 4, B constant",
                    "told": False,
                    "told_kind": None,
                    "failed": None,
                    "suspects": [],
                    "upset": [],
                    "duration_s": 128.0,
                }
            ],
            "next": None,
        },
        "invalid",
        "not-started",
        "historian",
    ),
)
async def get_episodes(
    request: Request,
    lang: Lang,
    asset: Annotated[str | None, Query(description="api.param.asset", max_length=64, examples=["tep-1"])] = None,
    open: Annotated[bool | None, Query(description="api.param.open", examples=[True])] = None,
    start: From = None,
    to: To = None,
    limit: Annotated[int, Query(description="api.param.limit", ge=1, le=500, examples=[50])] = 50,
    cursor: Annotated[str | None, Query(description="api.param.cursor", max_length=200)] = None,
) -> Response:
    now = queries.now_ns()
    since = parse_time("from", start, now) if start else None
    until = parse_time("to", to, now) if to else None
    if since is not None and until is not None and since >= until:
        raise bad_field("from", "order")
    return answer(
        await context(request).readers.run(
            partial(
                queries.episodes,
                asset=asset,
                open=open,
                start=since,
                end=until,
                limit=limit,
                cursor=cursor,
                lang=lang,
            )
        )
    )


_ORDERS: Final = ("cross-origin", "not-found", "too-large", "invalid", "lab-refused", "broker", "lab-silent")


@router.post(
    "/assets/{id}/accept",
    summary="api.op.accept",
    response_model=schema.Accepted,
    responses=documented({"asset": "tep-1"}, *_ORDERS),
)
async def post_accept(request: Request, id: Id) -> Response:
    reply = await context(request).bus.order("accept", {"asset": id})
    return answer(reply.result)


@router.delete(
    "/assets/{id}/accept",
    summary="api.op.unaccept",
    response_model=schema.Accepted,
    responses=documented({"asset": "tep-1"}, *_ORDERS),
)
async def delete_accept(request: Request, id: Id) -> Response:
    return answer((await context(request).bus.order("unaccept", {"asset": id})).result)


EpisodeId = Annotated[
    str, Path(description="api.param.episode", pattern=r"^[A-Za-z0-9_-]{1,100}$", examples=["tep-1-64499a2a0c2a0"])
]


@router.post(
    "/episodes/{id}/cause",
    summary="api.op.cause",
    response_model=schema.ToldAnswer,
    responses=documented(
        {"episode": "tep-1-64499a2a0c2a0", "cause": "strainer blocked", "library": "tep.causes.json"}, *_ORDERS
    ),
)
async def post_cause(
    request: Request, id: EpisodeId, body: Annotated[schema.Told, Body(openapi_examples=schema.CAUSES)]
) -> Response:
    cause = body.cause.strip()
    told = (await context(request).bus.order("label", {"episode": id, "cause": cause, "kind": body.kind})).result
    return answer({"episode": id, "cause": told.get("cause", cause), "library": told.get("library", "")})


@router.delete(
    "/episodes/{id}/cause",
    summary="api.op.take_back",
    response_model=schema.TakenBack,
    responses=documented({"episode": "tep-1-64499a2a0c2a0", "cause": "strainer blocked"}, *_ORDERS),
)
async def delete_cause(request: Request, id: EpisodeId) -> Response:
    reply = await context(request).bus.order("take_back", {"episode": id})
    return answer({"episode": id, "cause": reply.result.get("cause")})


@router.get(
    "/assets/{id}/causes",
    summary="api.op.causes",
    response_model=schema.ToldCauses,
    responses=documented(
        {"causes": [{"cause": "idv_6", "name": "A feed loss", "episodes": 2}]},
        *("not-found", "invalid", "not-started", "historian"),
    ),
)
async def get_causes(request: Request, id: Id, lang: Lang) -> Response:
    return answer({"causes": await context(request).readers.run(partial(queries.told_causes, id=id, lang=lang))})


@router.post(
    "/assets/{id}/causes/rename",
    summary="api.op.rename",
    response_model=schema.RenamedAnswer,
    responses=documented({"cause": "strainer blocked", "episodes": 3}, *_ORDERS),
)
async def post_rename(
    request: Request, id: Id, body: Annotated[schema.Renamed, Body(openapi_examples=schema.RENAMES)]
) -> Response:
    return await _rename(request, id, body.cause, body.name.strip())


@router.post(
    "/assets/{id}/causes/forget",
    summary="api.op.forget",
    response_model=schema.RenamedAnswer,
    responses=documented({"cause": None, "episodes": 3}, *_ORDERS),
)
async def post_forget(
    request: Request, id: Id, body: Annotated[schema.Forgotten, Body(openapi_examples=schema.FORGETS)]
) -> Response:
    return await _rename(request, id, body.cause, None)


async def _rename(request: Request, id: str, cause: str, name: str | None) -> Response:
    told: dict[str, object] = {"asset": id, "cause": cause.strip(), "name": name}
    return answer((await context(request).bus.order("rename", told)).result)
