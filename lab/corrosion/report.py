"""The report: one HTML file that needs nothing else, on the screen and on A4, in Japanese or English."""

import math
from collections.abc import Sequence
from datetime import date
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from lab import __version__
from lab.corrosion import results
from lab.corrosion.columns import TABLES
from lab.corrosion.drawing import BLUE, FAN, INK, RED, SOFT, Plot, digits_of, ticks
from lab.corrosion.results import Outcome
from lab.text import text
from models.corrosion import extreme, reasons
from models.corrosion.assessment import NEXT_Y
from models.corrosion.tables import RANKS

RANKED: Final = 40
CHARTS: Final = 18
KEPT_OUT: Final = 200
EXTREMES: Final = 4
LEAST_MAXIMA: Final = 6
LONG: Final = 16
"""A longer name may be broken."""

STYLE: Final = Path(__file__).with_name("report.css")


def report(outcome: Outcome, lang: str, title: str, budget: int | None = None, charts: int = CHARTS) -> str:
    """The report as HTML.

    Args:
        outcome: what was read and what came of it.
        lang: `ja` or `en`.
        title: what is assessed, as a heading.
        budget: how many places can be stripped, where that was asked.
        charts: of how many lines the history is drawn, the riskiest first.
    """
    rows = list(results.rows(outcome, lang))
    parts = [
        _head(outcome, lang, title),
        _plan(outcome, lang, rows, budget),
        _matrix(outcome, lang),
        _ranking(lang, rows),
        _histories(outcome, lang, charts),
        _extremes(outcome, lang),
        _assumptions(outcome, lang),
        _kept_out(outcome, lang),
        _method(lang),
    ]
    day = date.fromisoformat(str(outcome.assessment.at)[:10])
    foot = text("corrosion.report.foot", lang, version=__version__, at=day.isoformat())
    return (
        f'<!doctype html>\n<html lang="{lang}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<footer>{escape(foot)}</footer>\n</body>\n</html>\n"
    )


def _t(key: str, lang: str, **values: object) -> str:
    return escape(text(f"corrosion.report.{key}", lang, **values))


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    if value is None:
        return "–"
    return "<0.1 %" if value < 0.001 else f"{100 * value:.1f} %" if value < 0.1 else f"{100 * value:.0f} %"


def _life(values: Sequence[float | None], lang: str) -> str:
    low, middle, _ = values
    if low is None:
        return _t("beyond", lang)
    return f"{_year(low)} / {_year(middle)}"


def _year(value: float | None) -> str:
    return "–" if value is None else ">99" if value > 99 else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _chip(rank: str, lang: str) -> str:
    return f'<span class="chip r{RANKS.index(rank)}">{escape(text(f"corrosion.rank.{rank}", lang))}</span>'


def _table(heads: Sequence[tuple[str, str]], body: Sequence[Sequence[str]]) -> str:
    """Heads with their class (`n`: a number); cells are HTML already."""
    head = "".join(f'<th class="{kind}">{name}</th>' for name, kind in heads)
    lines = [
        "<tr>"
        + "".join(f'<td class="{kind}">{cell}</td>' for cell, (_, kind) in zip(row, heads, strict=True))
        + "</tr>"
        for row in body
    ]
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


NUMERIC: Final = frozenset(
    "# p_next damage last required rate life date.rule date.half gap.count files.used out.row".split()  # noqa: SIM905
)


def _heads(lang: str, *keys: str) -> list[tuple[str, str]]:
    """Names of columns, and `n` for those of numbers, `nw` for words that stay on a line."""
    kinds = {**dict.fromkeys(NUMERIC, "n"), "service": "nw", "gap.table": "nw"}
    return [(key if key == "#" else _t(key, lang), kinds.get(key, "")) for key in keys]


def _section(title: str, note: str, body: str) -> str:
    head = f"<h2>{title}</h2>"
    return f'{head}<p class="soft small">{note}</p>{body}' if note else head + body


def _head(outcome: Outcome, lang: str, title: str) -> str:
    register, found = outcome.register, outcome.assessment
    below = int(np.sum((found.reasons & reasons.bit("below_required")) > 0))
    expected = float(np.nansum(found.p_next))
    tiles = [
        (
            "",
            str(len(register.lines.id)),
            _t("tile.lines", lang, points=len(register.points.id), measured=int((~register.unmeasured).sum())),
        ),
        ("bad" if below else "", str(below), _t("tile.below", lang)),
        ("bad" if expected >= 1 else "", f"{expected:.1f}", _t("tile.expected", lang)),
        ("bad" if register.kept_out else "", str(len(register.kept_out)), _t("tile.out", lang, rows=register.rows)),
    ]
    body = "".join(
        f'<div class="tile {kind}"><b>{figure}</b><span>{words}</span></div>' for kind, figure, words in tiles
    )
    day = date.fromisoformat(str(found.at)[:10])
    when = _day(day, lang)
    return (
        f"<header><h1>{escape(title)}</h1>"
        f"<p class='soft'>{_t('subtitle', lang, at=when, next=f'{outcome.next_y or NEXT_Y:g}')}</p></header>"
        f'<div class="tiles">{body}</div><p class="warn">{_t("not_for", lang)}</p>'
    )


def _day(day: date, lang: str) -> str:
    return f"{day.year}年{day.month}月{day.day}日" if lang == "ja" else f"{day.day} {day:%B %Y}"


def _name(row: dict[str, Any], lang: str) -> str:
    part = text(f"corrosion.part.{row['part']}", lang) if row["part"] else ""
    mark = f' <span class="soft">{_t("unmeasured", lang)}</span>' if row["unmeasured"] else ""
    shown = row["line"] if row["unmeasured"] else results.called(row["id"], row["line"])
    kind = ' class="long"' if len(shown) > LONG else ""
    return f"<b{kind}>{escape(shown)}</b>{mark}" + (f'<br><span class="soft">{escape(part)}</span>' if part else "")


def _dates(row: dict[str, Any]) -> tuple[str, str]:
    return row["next_probabilistic"] or "–", row["next_half_life"] or "–"


def _plan(outcome: Outcome, lang: str, rows: Sequence[dict[str, Any]], budget: int | None) -> str:
    plan = outcome.plan
    if plan is None:
        return ""
    chosen = sorted((row for row in rows if row["in_plan"]), key=lambda row: row["in_plan"])
    whys = {
        outcome.register.points.id[k]: results.why(int(bits), lang, results.PLAN_REASONS)
        for k, bits in zip(plan.points.tolist(), plan.reasons, strict=True)
    }
    share = plan.damage_found / plan.damage_total if plan.damage_total > 0 else 0.0
    told = _t("plan.told", lang, n=len(chosen), found=f"{plan.damage_found:.1f}", total=f"{plan.damage_total:.1f}",
              share=f"{share:.0%}", risk=f"{plan.risk_share:.0%}")  # fmt: skip
    heads = _heads(lang, "#", "point", "service", "risk", "p_next", "last", "required", "why")
    join = text("corrosion.report.join", lang)
    body = [
        [
            str(row["in_plan"]),
            _name(row, lang),
            escape(row["service"] or "–"),
            _chip(row["risk_class"], lang),
            _percent(row["p_next"]),
            _last(row),
            _number(row["required_mm"]),
            escape(join.join(whys[row["id"]]) or "–"),
        ]
        for row in chosen
    ]
    name = _t("plan", lang, n=budget if budget is not None else len(chosen))
    return f"<h2>{name}</h2><p>{told}</p>{_table(heads, body)}"


def _last(row: dict[str, Any]) -> str:
    if row["last_mm"] is None:
        return "–"
    return f'{row["last_mm"]:.2f}<br><span class="soft">{row["last_at"][:7] if row["last_at"] else ""}</span>'


def _matrix(outcome: Outcome, lang: str) -> str:
    probability, consequence, _ = results.classes(outcome)
    counts = np.zeros((5, 5), dtype=int)
    np.add.at(counts, (probability, consequence), 1)
    chances = [_percent(bound) for bound in results.PROBABILITY_CLASSES]
    sides = [f"< {chances[0]}", *(f"{a.removesuffix(' %')}–{b}" for a, b in pairwise(chances)), f"> {chances[-1]}"]
    bounds = [f"{bound:g}" for bound in results.CONSEQUENCE_CLASSES]
    feet = [f"< {bounds[0]}", *(f"{a}–{b}" for a, b in pairwise(bounds)), f"> {bounds[-1]}"]
    lines = []
    for row in range(4, -1, -1):
        cells = "".join(
            f'<td class="r{results.MATRIX[row][column]}{"" if count else " zero"}">{count or ""}</td>'
            for column, count in enumerate(counts[row].tolist())
        )
        lines.append(f'<tr><th class="side">{escape(sides[row])}</th>{cells}</tr>')
    lines.append("<tr><th></th>" + "".join(f"<th>{escape(foot)}</th>" for foot in feet) + "</tr>")
    matrix = f'<table class="matrix"><tbody>{"".join(lines)}</tbody></table>'
    matrix += f'<p class="soft small">{_t("matrix.axes", lang)}</p>'
    return (
        f'<div class="two"><section><h2>{_t("matrix", lang)}</h2>{matrix}</section>'
        f"<section><h2>{_t('course', lang)}</h2>{_course(outcome, lang)}</section></div>"
    )


def _course(outcome: Outcome, lang: str) -> str:
    """How many places are below the required thickness by when, if nothing is done."""
    found = outcome.assessment
    seen = found.years <= 20
    start = _decimal(found.at)
    years = (start + found.years[seen]).tolist()
    sums = np.nansum(found.p_below[:, seen], axis=0).tolist()
    top = max(1.0, *sums) * 1.12
    plot = Plot(500, 262, years[0], years[-1], 0.0, top)
    y_ticks = ticks(0, top, 5)
    plot.axes(
        [tick for tick in ticks(math.ceil(years[0]), years[-1], 6) if tick == int(tick)],
        y_ticks,
        _plain("year", lang),
        _plain("places", lang),
        digits_of(y_ticks),
    )
    plot.band(years, [0.0] * len(years), sums, FAN)
    plot.line(years, sums, BLUE, 2.2)
    return plot.svg(_plain("course", lang)) + f'<p class="soft small">{_t("course.note", lang)}</p>'


def _plain(key: str, lang: str) -> str:
    return text(f"corrosion.report.{key}", lang)


def _decimal(day: np.datetime64) -> float:
    whole = date.fromisoformat(str(day)[:10])
    return whole.year + (whole - date(whole.year, 1, 1)).days / results.YEAR_D


def _ranking(lang: str, rows: Sequence[dict[str, Any]]) -> str:
    keys = ("#", "point", "risk", "p_next", "damage", "last", "required", "rate", "life", "date.rule", "date.half")
    body = []
    for row in rows[:RANKED]:
        low, middle, high = row["rate_mm_y"]
        body.append(
            [
                str(row["ranking"]),
                _name(row, lang),
                _chip(row["risk_class"], lang),
                _percent(row["p_next"]),
                _percent(row["likelihood"][1]),
                _last(row),
                _number(row["required_mm"]),
                f'{_number(middle)}<br><span class="soft">{_number(low)}–{_number(high)}</span>',
                _life(row["life_y"], lang),
                *_dates(row),
            ]
        )
    more = f'<p class="soft">{_t("ranking.more", lang, n=len(rows) - RANKED)}</p>' if len(rows) > RANKED else ""
    body_html = _table(_heads(lang, *keys), body) + more
    return _section(_t("ranking", lang), _t("ranking.note", lang), body_html)


def _histories(outcome: Outcome, lang: str, most: int) -> str:
    chosen = results.worst_points(outcome, most)
    if not chosen:
        return ""
    charts = "".join(f'<div class="chart">{_history(outcome, k, lang)}</div>' for k in chosen)
    lines = len(outcome.register.lines.id)
    note = _t("history.note", lang) + (
        " " + _t("history.more", lang, n=len(chosen), lines=lines) if lines > len(chosen) else ""
    )
    return _section(_t("history", lang), note, f'<div class="charts">{charts}</div>')


def _history(outcome: Outcome, k: int, lang: str) -> str:
    register, found = outcome.register, outcome.assessment
    findings = register.inspections
    line = int(register.points.line[k])
    t_nom, t_req = float(register.lines.t_nom[line]), float(found.t_req[k])
    now = _decimal(found.at)
    on_line = np.flatnonzero((register.points.line[findings.point] == line) & np.isfinite(findings.reading))
    readings = [(_decimal(findings.at[n]), float(findings.reading[n]), int(findings.point[n]) == k) for n in on_line]
    seen = found.years <= max(
        8.0, min(20.0, float(found.life[k, 1]) * 1.3 if math.isfinite(found.life[k, 1]) else 20.0)
    )
    years = (now + found.years[seen]).tolist()
    low, middle, high = (found.thickness[k, seen, level].tolist() for level in range(3))
    first = min([at for at, _, _ in readings] + [now - 5]) - 0.5
    top = max([t_nom, *(mm for _, mm, _ in readings), max(high)]) * 1.06
    plot = Plot(500, 232, first, years[-1], 0.0, top)
    y_ticks = ticks(0, top, 5)
    plot.axes(
        [tick for tick in ticks(math.ceil(first), years[-1], 7) if tick == int(tick)],
        y_ticks,
        _plain("year", lang),
        "mm",
        digits_of(y_ticks),
    )
    if all(math.isfinite(value) for value in (*low, *middle, *high)):
        plot.band(years, low, high, FAN)
        plot.line(years, middle, BLUE, 2)
    plot.line([first, years[-1]], [t_nom, t_nom], SOFT, 1, "2 3")
    if math.isfinite(t_req):
        plot.rule(t_req, RED, f"{_plain('required.short', lang)} {t_req:.2f}")
    plot.mark(now, _plain("now", lang))
    for at, mm, own in sorted(readings, key=lambda entry: entry[2]):
        plot.dot(at, mm, INK if own else "#a9b6c0", 3.8 if own else 2.8, hollow=not own)
    mine = sorted((at, mm) for at, mm, own in readings if own)
    if len(mine) > 1:
        plot.line([at for at, _ in mine], [mm for _, mm in mine], INK, 1.2)
    name = register.lines.id[line]
    name = name if register.unmeasured[k] else results.called(register.points.id[k], name)
    service = register.lines.service[line]
    facts = " · ".join(
        filter(
            None,
            [
                service,
                f"{register.lines.nps[line]:g}B" if lang == "ja" else f"{register.lines.nps[line]:g} in",
                f"{t_nom:.2f} mm",
            ],
        )
    )
    _, _, risk = results.classes(outcome)
    rank = RANKS[int(risk[k])]
    return f'<h3>{escape(name)} {_chip(rank, lang)}</h3><div class="soft small">{escape(facts)}</div>{plot.svg(name)}'


def _extremes(outcome: Outcome, lang: str) -> str:
    """Gumbel plots of the lines with most measured points; the others are refused, and that is said."""
    register, found = outcome.register, outcome.assessment
    groups: list[tuple[int, np.ndarray[Any, Any]]] = []
    refused = 0
    measured = np.isfinite(found.last)
    for line in range(len(register.lines.id)):
        of_line = register.points.line == line
        mine = np.flatnonzero(of_line & measured)
        if len(mine) >= LEAST_MAXIMA:
            groups.append((line, np.maximum(0.0, register.lines.t_nom[line] - found.last[mine])))
        elif len(mine):
            refused += 1
    groups.sort(key=lambda group: -len(group[1]))
    charts = "".join(
        f'<div class="chart">{_gumbel(outcome, line, depths, lang)}</div>' for line, depths in groups[:EXTREMES]
    )
    words = [_t("extreme.note", lang)]
    if refused:
        words.append(_t("extreme.refused", lang, n=refused, least=LEAST_MAXIMA))
    if not groups:
        words.append(_t("extreme.none", lang, least=LEAST_MAXIMA))
    return (
        f'<h2>{_t("extreme", lang)}</h2><p class="soft small">{" ".join(words)}</p><div class="charts">{charts}</div>'
    )


def _gumbel(outcome: Outcome, line: int, depths: np.ndarray[Any, Any], lang: str) -> str:
    register = outcome.register
    n = len(depths)
    times = max(2.0, 10.0 * n)
    law = extreme.extreme_value(depths, times, 1.0, register.lines.t_nom[line])
    name = register.lines.id[line]
    head = f"<h3>{escape(name)} <span class='soft small'>n = {n}</span></h3>"
    if not math.isfinite(float(law.scale)):
        why = text("corrosion.report.join", lang).join(results.why(int(law.reasons), lang))
        return f"{head}<p>{_t('extreme.cannot', lang, why=why)}</p>"
    ordered = np.sort(depths)
    variate = -np.log(-np.log((np.arange(1, n + 1) - 0.44) / (n + 0.12)))
    high = -math.log(-math.log(1 - 1 / times))
    level = float(law.level)
    right = max(float(ordered[-1]), level) * 1.12
    plot = Plot(500, 232, 0.0, right, -2.0, high + 0.6, left=34)
    x_ticks = ticks(0, right, 6)
    plot.axes(x_ticks, ticks(-2, high, 6), _plain("extreme.x", lang), _plain("extreme.y", lang))
    ys = np.linspace(-1.9, high + 0.4, 40)
    location, scale, shape = float(law.location), float(law.scale), float(law.shape)
    xs = location + scale * (ys if abs(shape) < 1e-9 else np.expm1(shape * ys) / shape)
    inside = (xs >= 0) & (xs <= right)
    plot.line(xs[inside].tolist(), ys[inside].tolist(), BLUE, 1.8)
    for depth, value in zip(ordered.tolist(), variate.tolist(), strict=True):
        plot.dot(depth, value, INK)
    plot.dot(level, high, RED, 4.5)
    plot.text(plot.x(level) - 8, plot.y(high) + 4, f"{level:.2f} mm", anchor="end", colour=RED, bold=True)
    notes = results.why(int(law.reasons), lang)
    told = _t(
        "extreme.level", lang, depth=f"{level:.2f}", times=f"{times:g}", nominal=f"{register.lines.t_nom[line]:.2f}"
    )
    extra = f" ({escape(text('corrosion.report.join', lang).join(notes))})" if notes else ""
    return f'{head}{plot.svg(name)}<div class="soft small">{told}{extra}</div>'


def _column_name(table: str, key: str, lang: str) -> str:
    columns = TABLES.get(table, {})  # type: ignore[call-overload]
    if key not in columns:
        return ""
    names = columns[key].names
    return str(names[1] if lang == "ja" and len(names) > 1 else names[0])


def _assumptions(outcome: Outcome, lang: str) -> str:
    register = outcome.register
    body = []
    for gap in register.gaps:
        name = _column_name(gap.table, gap.column, lang) if gap.taken != "unmeasured" else ""
        taken = text(f"corrosion.gap.{gap.taken}", lang, **gap.values)
        body.append(
            [
                escape(_plain(f"table.{gap.table}", lang)),
                escape(name or "–"),
                f"{gap.count} / {gap.total}",
                escape(taken),
            ]
        )
    gaps = _table(_heads(lang, "gap.table", "gap.column", "gap.count", "gap.taken"), body)
    files = []
    for reading in register.readings:
        columns = "、" if lang == "ja" else ", "
        pairs = columns.join(
            f"{header} → {_column_name(reading.table, key, lang)}{f' [{unit}]' if unit else ''}"
            for key, (header, unit) in reading.columns.items()
            if header
        )
        ignored = _t("files.ignored", lang, columns=columns.join(reading.ignored)) if reading.ignored else ""
        files.append(
            [
                escape(reading.file),
                escape(_plain(f"table.{reading.table}", lang)),
                f"{reading.used} / {reading.rows}",
                f"{escape(pairs)} {ignored}",
            ]
        )
    read = _table(_heads(lang, "files.file", "gap.table", "files.used", "files.columns"), files)
    basis = "".join(
        f"<li>{_t(f'basis.{key}', lang)}</li>" for key in ("required", "rate", "ut", "likelihood", "interval")
    )
    none = f"<p>{_t('gap.none', lang)}</p>" if not body else gaps
    return f"<h2>{_t('gaps', lang)}</h2><ul>{basis}</ul>{none}<h2>{_t('files', lang)}</h2>{read if files else ''}"


def _kept_out(outcome: Outcome, lang: str) -> str:
    out = outcome.register.kept_out
    if not out:
        return f"<h2>{_t('out', lang)}</h2><p>{_t('out.none', lang)}</p>"
    heads = _heads(lang, "out.file", "out.row", "out.column", "out.cell", "out.reason")
    body = [
        [
            escape(each.file),
            str(each.row),
            escape(each.column or "–"),
            escape(each.cell or "–"),
            escape(each.reason(lang)),
        ]
        for each in out[:KEPT_OUT]
    ]
    more = f'<p class="soft">{_t("out.more", lang, n=len(out) - KEPT_OUT)}</p>' if len(out) > KEPT_OUT else ""
    return f"<h2>{_t('out', lang)}</h2><p>{_t('out.note', lang)}</p>{_table(heads, body)}{more}"


def _method(lang: str) -> str:
    return f"<h2>{_t('method', lang)}</h2>" + "".join(f"<p>{_t(f'method.{n}', lang)}</p>" for n in (1, 2, 3))
