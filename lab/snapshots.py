"""Snapshots: the state of every asset that is scored, kept in the database, so that a restart goes on from there."""

import json
import logging
import sqlite3
from collections.abc import Callable
from typing import Final

from lab.episodes import Known
from lab.rescoring import stored_model
from lab.scorer import Scorer
from lab.store import Store
from models.detector import ModelError

log = logging.getLogger("lab.snapshots")

SNAPSHOT_VERSION: Final = 23
"""Counts up when what a snapshot says has changed: older ones are not taken up."""


def write_snapshots(db: sqlite3.Connection, scorer: Scorer) -> None:
    """Write the state of all assets that are scored, and drop that of the others. The caller has the transaction."""
    numbers = scorer.scored()
    rows = []
    for number, (head, content) in zip(numbers, scorer.dump(numbers), strict=True):
        member = scorer.members[number]
        assert member.model is not None
        text = json.dumps({"v": SNAPSHOT_VERSION, **head}).encode()
        rows.append((member.asset.id, member.model.id, int(scorer.last[number]), text + b"\n" + content))
    gone = set(range(len(scorer.members))).difference(numbers)
    db.executemany("DELETE FROM scoring_state WHERE asset = ?", [(scorer.members[number].asset.id,) for number in gone])
    db.executemany("INSERT OR REPLACE INTO scoring_state VALUES (?, ?, ?, ?)", rows)


def take_up_snapshot(store: Store, scorer: Scorer, number: int, library: Callable[[str], Known | None]) -> bool:
    """Go on with an asset where its snapshot stands; false where there is none, or none that can be used.

    Args:
        store: the database.
        scorer: takes the state.
        number: the scorer's, of the asset.
        library: finds one of causes by its id.
    """
    asset = scorer.members[number].asset.id
    row = store.db.execute("SELECT model, t, state FROM scoring_state WHERE asset = ?", (asset,)).fetchone()
    if row is None:
        return False
    id, t, blob = row
    try:
        model = scorer.model(id) or stored_model(store, id)  # thousands of assets share one
        text, _, content = blob.partition(b"\n")
        head = json.loads(text)
        if head["v"] != SNAPSHOT_VERSION:
            raise ValueError(f"snapshot version {head['v']}")
        scorer.restore(number, model, t, head, content, library)
    except (ModelError, ValueError, KeyError, TypeError) as error:
        log.warning("asset %s: its last state cannot be taken up (%s): it begins anew", asset, error)
        return False
    return True
