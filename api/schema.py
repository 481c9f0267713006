"""What requests and answers look like, for the OpenAPI document and for those who read it.

Answers are not passed through these models when they are sent (that would cost more than making them); the tests pass
every answer through its model instead.
"""

import re
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from api.problems import MEDIA_TYPE, STATUS
from lab.naming import tidied

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
Number = float | None
Share = Annotated[float, Field(ge=0)]
Health = Literal["ok", "alarm", "instrument", "learning", "stale", "offline"]


def answer(content: object, status: int = 200) -> Response:
    """A JSON answer; NumPy arrays as they are, NaN as null."""
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), status, media_type="application/json")


def documented(example: object, *codes: str, media_type: str = "application/json") -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: an example of its answer, and the problems it may answer instead."""
    responses: dict[int | str, dict[str, Any]] = {
        200: {"description": "api.answer.ok", "content": {media_type: {"example": example}}}
    }
    for code in codes:
        entry = responses.setdefault(
            STATUS[code],
            {
                "description": "",
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}, "examples": {}}},
            },
        )
        entry["content"][MEDIA_TYPE]["examples"][code] = {"value": {"code": code}}  # filled in with the language
    return responses


class Answer(BaseModel):
    """An answer has the fields that are documented and no others."""

    model_config = ConfigDict(extra="forbid")


class BadField(Answer):
    field: str
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457. `errors` lists bad fields; some problems have members of their own."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[BadField] | None = None


class ToldOfOpen(Answer):
    episode: str
    cause: str


class Asset(Answer):
    id: str
    kind: str
    name: str
    gateway: str
    online: bool
    simulator: bool
    health: Health
    score: Number
    limit: Number
    alarm: bool
    warm: bool
    last: str | None
    sensors: int
    episodes_open: int
    told: ToldOfOpen | None
    """What a user told of the open episode."""


class Leading(Answer):
    tag: str
    name: str
    share: Share


class Cause(Answer):
    cause: str
    name: str
    probability: Share


class Named(Answer):
    sensor: str
    name: str


class Failed(Answer):
    """What is wrong with an instrument."""

    sensor: str
    name: str
    fault: Literal["frozen", "silent", "spiking", "range"]


class Unseen(Answer):
    """A sensor with a limit that shows nothing: silent for `silent_s`, or known to have failed.

    The times are what was foretold by its last value, counted from that; null where no limit was in sight.
    """

    sensor: str
    name: str
    silent_s: Number
    time_s: Number
    low_s: Number
    high_s: Number
    limit: Number


class Outlook(Answer):
    """How long until a limit is reached, seconds of the asset's own clock; no `sensor`: none in sight.

    Told of the `watched` sensors with a limit that show something; those that do not are `unseen`. With `silent_s`
    `sensor` has had no value for so long, and what was foretold by its last one goes on.

    `time_s` is the median, `low_s` to `high_s` hold it in 80 % of cases; where none is in sight `low_s` is what nine in
    ten such cases leave at least. `limit` is the one that `sensor` will reach, in its unit.
    """

    sensor: str | None
    name: str | None
    time_s: Number
    low_s: Number
    high_s: Number
    first_at: str | None
    first_s: Number
    reached: str | None
    lead_s: Number
    limit: Number
    silent_s: Number
    unseen: list[Unseen]
    watched: int | None


class Instrument(Failed):
    """A sensor that failed since the asset began with its model, whatever its episodes were put down to.

    `times`: its spikes, or stretches without a value that tells anything; `since_s` and `ago_s`: how long ago it was
    first and last seen to fail, in seconds of the asset's own clock.
    """

    times: int
    since_s: float
    ago_s: float


class AssetDetail(Asset):
    leading: list[Leading]
    model: str | None
    accepted: bool
    """Normal is where it stood when a user said so (or the lab by itself), not what its model learnt."""
    drift: Number
    episode: str | None
    episode_kind: Literal["process", "instrument"] | None
    failed: Failed | None
    suspects: list[Failed]
    upset: list[Named]
    cause: str | None
    causes: list[Cause]
    unknown: Number
    outlook: Outlook | None
    instruments: list[Instrument]


class Assets(Answer):
    assets: list[Asset]


class Limits(Answer):
    lo_trip: Number = None
    lo_alarm: Number = None
    hi_alarm: Number = None
    hi_trip: Number = None


class Sensor(Answer):
    key: str
    tag: str
    name: str
    unit: str
    role: Literal["measurement", "manipulated", "status"]
    lo: Number
    hi: Number
    limits: Limits | None
    decimals: int | None
    value: Number
    quality: str | None
    last: str | None
    stale: bool


class Sensors(Answer):
    sensors: list[Sensor]


class Course(Answer):
    """Columns of one length: milliseconds, mean, lowest and highest of each point, qualities unless all good."""

    t: list[int]
    v: list[Number]
    lo: list[Number]
    hi: list[Number]
    q: list[int] | None = None
    raw: bool


class SeriesAnswer(Answer):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    start: int = Field(alias="from")
    to: int
    series: dict[str, Course]
    unknown: list[str] | None = None


class Score(Answer):
    limit: Number
    t: list[int]
    score: list[Number]
    statistics: dict[str, list[Number]]


class Episode(Answer):
    id: str
    asset: str
    kind: Literal["process", "instrument"]
    start: str
    end: str | None
    peak: Number
    peak_at: str | None
    leading: list[tuple[str, float]]
    cause: str | None
    cause_name: str | None
    causes: list[Cause]
    unknown: Number
    told: bool
    told_kind: Literal["process", "instrument"] | None
    failed: Failed | None
    suspects: list[Failed]
    upset: list[Named]
    outlook: Outlook | None
    duration_s: float


class Episodes(Answer):
    episodes: list[Episode]
    next: str | None


class DisturbanceType(Answer):
    idv: int
    name: str
    type: str


class Loop(Answer):
    loop: int
    pv: str
    unit: str
    setpoint: Number
    lo: Number
    hi: Number


class Trip(BaseModel):
    tag: str
    value: Number
    limit: float
    side: Literal["high", "low"]
    margin: Number


class Simulator(BaseModel):
    """The plant's last status as it sent it; a plant may say more than is listed."""

    id: str
    gateway: str
    online: bool
    at: str | None
    plant_s: Number = None
    speed: Number = None
    running: bool | None = None
    seed: int | None = None
    tripped: str | None = None
    faults: list[int] = []
    sensor_faults: list[dict[str, Any]] = []
    actuator_faults: list[dict[str, Any]] = []
    setpoints: dict[str, float] = {}
    manual: list[int] = []
    cost_per_h: Number = None
    trips: list[Trip] = []
    disturbances: list[DisturbanceType]
    loops: list[Loop]


class Simulators(Answer):
    simulators: list[Simulator]


class PlantReply(Answer):
    id: str
    ok: bool
    detail: str
    result: dict[str, Any]
    kind: Literal["reply"]


class Accepted(Answer):
    asset: str


class ToldAnswer(Answer):
    """`library`: the file in which it is kept."""

    episode: str
    cause: str
    library: str


class TakenBack(Answer):
    """`cause`: what it was told to be until now, if anything."""

    episode: str
    cause: str | None


class ToldCause(Answer):
    """`episodes`: of how many it was told."""

    cause: str
    name: str
    episodes: int


class ToldCauses(Answer):
    causes: list[ToldCause]


class RenamedAnswer(Answer):
    """`cause`: its name by now; null when it is forgotten. `episodes`: of how many it was told."""

    cause: str | None
    episodes: int


class Account(Answer):
    published: int
    accepted: int
    duplicates: int
    rejected: int
    missing: int
    unsequenced: int
    forks: int
    proof: bool


class GatewayAccount(Account):
    gateway: str
    boot: int
    state: Literal["online", "offline"]
    missing_ranges: list[tuple[int, int]]
    upto: int
    seen: str | None
    skew_ms: Number


class LedgerAnswer(Answer):
    gateways: list[GatewayAccount]
    totals: Account


class QuarantineEntry(Answer):
    id: int
    at: str
    topic: str
    reason: str
    detail: str
    count: int
    payload: str | None


class QuarantineAnswer(Answer):
    entries: list[QuarantineEntry]
    next: str | None


class Process(BaseModel):
    name: str
    state: str
    pid: int | None
    restarts: int


class BrokerFacts(Answer):
    kind: str
    version: str
    host: str
    port: int
    connected: bool


class HistorianFacts(Answer):
    kind: str
    readings: int
    sensors: int
    bytes_on_disk: int
    bytes_written: int
    oldest: str | None
    newest: str | None


class SystemAnswer(Answer):
    processes: list[Process]
    broker: BrokerFacts
    historian: HistorianFacts | None
    memory_mb: Number
    clients: int
    versions: dict[str, str]


class Healthy(Answer):
    status: Literal["ok"]


# --- requests ---


class Request(BaseModel):
    """A request's unknown fields are mistakes, so they are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


Tagged = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class Disturbance(Request):
    """Switch one of the plant's disturbances on or off."""

    idv: int = Field(ge=1, le=28)
    on: bool


class SensorFault(Request):
    """A fault of a sensor; `size` in its unit (drift: per plant hour), of no meaning for freeze and dropout."""

    tag: Tagged
    kind: Literal["bias", "drift", "freeze", "spike", "noise", "dropout"]
    size: float = 1.0
    on: bool


class ActuatorFault(Request):
    """A fault of a valve; `size`: slow, how many times slower; bias, %; lossofeffect, the share lost, 0 to 1."""

    xmv: int = Field(ge=1, le=12)
    kind: Literal["stuck", "slow", "bias", "lossofeffect"]
    size: float = 0.5
    on: bool


class Setpoint(Request):
    """A new setpoint of a loop, in the unit of what it controls."""

    loop: int = Field(ge=1, le=20)
    value: float


class Manual(Request):
    """Take a loop out of automatic, or put it back."""

    loop: int = Field(ge=1, le=20)
    manual: bool


class Valve(Request):
    """Move a valve whose loop is in manual, percent."""

    xmv: int = Field(ge=1, le=12)
    value: float = Field(ge=0, le=100)


class Speed(Request):
    """How many times faster than the wall clock the plant runs."""

    speed: float = Field(ge=1, le=600)


class Running(Request):
    """Pause the plant, or let it go on."""

    running: bool


def _one_line(value: str) -> str:
    if not tidied(value) or CONTROL.search(value):
        raise PydanticCustomError("one_line", "a name in one line")
    return value


class Told(Request):
    """What an episode was: one of the known causes, or a name of one's own, in one line."""

    cause: Annotated[str, AfterValidator(_one_line)] = Field(min_length=1, max_length=80)
    kind: Literal["process", "instrument"] | None = None
    """Where the cause was; if null, where it was told to be before, or where the lab put it."""


class Renamed(Request):
    """A cause that users told, and the name it is to have: one like a name there is makes the two one."""

    cause: Annotated[str, AfterValidator(_one_line)] = Field(min_length=1, max_length=80)
    name: Annotated[str, AfterValidator(_one_line)] = Field(min_length=1, max_length=80)


class Forgotten(Request):
    """A cause that users told, to be told of no episode any more."""

    cause: Annotated[str, AfterValidator(_one_line)] = Field(min_length=1, max_length=80)


class Reset(Request):
    """Back to the base case; the same seed gives the same readings again."""

    seed: int = Field(default=1, ge=0, le=2**53)


def _form(**fields: str) -> Any:
    """Chooses a union's member by the first field that is there; with none, every form is listed as the answer."""

    def choose(value: Any) -> str | None:
        names = value if isinstance(value, dict) else getattr(value, "model_fields_set", ())
        return next((f"form:{form}" for field, form in fields.items() if field in names), None)

    return Discriminator(choose)


Fault = Annotated[
    Annotated[Disturbance, Tag("form:disturbance")]
    | Annotated[SensorFault, Tag("form:sensor")]
    | Annotated[ActuatorFault, Tag("form:actuator")],
    _form(idv="disturbance", tag="sensor", xmv="actuator"),
]
Move = Annotated[
    Annotated[Setpoint, Tag("form:setpoint")]
    | Annotated[Manual, Tag("form:manual")]
    | Annotated[Valve, Tag("form:valve")],
    _form(manual="manual", xmv="valve", loop="setpoint"),
]
Pace = Annotated[
    Annotated[Speed, Tag("form:speed")] | Annotated[Running, Tag("form:running")],
    _form(speed="speed", running="running"),
]

FAULTS: Final = {
    "disturbance": {"value": {"idv": 6, "on": True}},
    "sensor": {"value": {"tag": "xmeas_9", "kind": "bias", "size": 2.0, "on": True}},
    "valve": {"value": {"xmv": 10, "kind": "stuck", "on": True}},
}
MOVES: Final = {
    "setpoint": {"value": {"loop": 9, "value": 235.0}},
    "manual": {"value": {"loop": 4, "manual": True}},
    "valve": {"value": {"xmv": 4, "value": 55.0}},
}
PACES: Final = {"speed": {"value": {"speed": 60}}, "pause": {"value": {"running": False}}}
CAUSES: Final = {
    "known": {"value": {"cause": "idv_1"}},
    "own": {"value": {"cause": "strainer blocked"}},
    "corrected": {"value": {"cause": "level gauge sticks", "kind": "instrument"}},
}
RENAMES: Final = {"rename": {"value": {"cause": "strainer bloked", "name": "strainer blocked"}}}
FORGETS: Final = {"forget": {"value": {"cause": "strainer blocked"}}}
RESETS: Final = {"reset": {"value": {"seed": 1}}}


# --- corrosion ---

Rank = Literal["low", "medium", "high", "very_high"]
Triple = tuple[Number, Number, Number]


class CorrosionSpot(Answer):
    """A point as the map shows it."""

    id: str
    part: str | None
    unmeasured: bool
    risk_class: Rank
    p_next: Number


class CorrosionLine(Answer):
    id: str
    plant: str
    service: str
    nps: Number
    insulation: str | None
    coating: str | None
    installed: str | None
    risk_class: Rank
    p_next: Number
    risk: Number
    points: list[CorrosionSpot]


class CorrosionLines(Answer):
    lines: list[CorrosionLine]
    total: int
    next: str | None


class CorrosionPoint(Answer):
    """What is known of a point; triples are the 5, 50 and 95 % values."""

    ranking: int
    id: str
    line: str
    plant: str
    service: str
    part: str | None
    insulation: str | None
    unmeasured: bool
    risk_class: Rank
    likelihood_class: Rank
    likelihood: Triple
    p_next: Number
    consequence: Number
    risk: Number
    nominal_mm: Number
    required_mm: Number
    last_mm: Number
    last_at: str | None
    depth_mm: Triple
    rate_mm_y: Triple
    life_y: Triple
    long_term_mm_y: Number
    short_term_mm_y: Number
    physics_mm_y: Number
    a_rt: Number
    damage_factor: Number
    next_half_life: str | None
    next_probabilistic: str | None
    in_plan: int | None
    reasons: list[str]


class CorrosionPoints(Answer):
    points: list[CorrosionPoint]
    total: int
    next: str | None


class CorrosionReading(Answer):
    at: str
    mm: Number
    between_mm: tuple[Number, Number] | None
    method: str


class CorrosionForecast(Answer):
    at: list[str | None]
    low_mm: list[Number]
    middle_mm: list[Number]
    high_mm: list[Number]
    p_below: list[Number]


class CorrosionLive(Answer):
    """By the point's own sensors: metal lost since its last inspection, or since they began where that is later."""

    at: str | None
    since: str | None
    lost_um: Number
    sigma_um: Number


class CorrosionPointDetail(CorrosionPoint):
    readings: list[CorrosionReading]
    forecast: CorrosionForecast
    live: CorrosionLive | None


class CorrosionOutlook(Answer):
    """Expected points below the required thickness, and the risk of all points."""

    below_now: Number
    below_next: Number
    risk: Number
    due_within_a_year: int


class CorrosionPlan(Answer):
    budget: int
    acceptable: Number
    coated: list[str]
    places: list[CorrosionPoint]
    damage_found: Number
    damage_total: Number
    risk_share: Number
    outlook: CorrosionOutlook
    unchanged: CorrosionOutlook
    """The outlook without the changes that were asked for."""


class CorrosionSummary(Answer):
    source: Literal["simulated", "imported"]
    seed: int | None
    changed: str
    at: str
    next_y: float
    """Years until the next opportunity to inspect or repair, to which `p_next` belongs."""
    lines: int
    points: int
    unmeasured: int
    inspections: int
    kept_out: int
    classes: dict[Rank, int]
    matrix: list[list[int]]
    """Points by chance (rows, the smallest first) and consequence (columns)."""
    outlook: CorrosionOutlook


class CorrosionKeptOut(Answer):
    row: int
    column: str
    cell: str
    code: str
    reason: str


class CorrosionEntered(Answer):
    entered: int
    kept_out: list[CorrosionKeptOut]


class Finding(Request):
    """One inspection: a thickness, a loss, an interval of loss, or that nothing was found."""

    line: str | None = Field(default=None, max_length=100)
    point: str | None = Field(default=None, max_length=100)
    at: str = Field(max_length=40)
    method: Literal["ut", "rt", "pit_gauge", "visual", "dr", "pec", "guided_wave"] = "ut"
    effectiveness: Literal["A", "B", "C", "D", "E"] | None = None
    stripped: bool | None = None
    reading_mm: float | None = Field(default=None, gt=0, le=1000)
    loss_mm: float | None = None
    loss_low_mm: float | None = Field(default=None, ge=0)
    loss_high_mm: float | None = Field(default=None, ge=0)
    nothing_found: bool = False
    sigma_mm: float | None = Field(default=None, gt=0, le=10)


FINDINGS: Final = {
    "thickness": {"value": {"point": "P-101-03", "at": "2026-04-01", "method": "ut", "reading_mm": 6.12}},
    "nothing": {
        "value": {"line": "P-102", "point": "P-102-01", "at": "2026-04-01", "method": "pec", "nothing_found": True}
    },
}
