"""The tables of the scoring runtime, and what is to be written to them and has not been committed yet."""

import sqlite3

from lab.episodes import Episode, Word, find_episode, write_episodes, write_label
from lab.scorer import Run
from lab.store import Store, room

room(
    "scoring",
    """CREATE TABLE scoring_state (
        asset TEXT PRIMARY KEY, model TEXT NOT NULL, t INTEGER NOT NULL, state BLOB NOT NULL) WITHOUT ROWID""",
    "CREATE TABLE late (asset TEXT NOT NULL, t INTEGER NOT NULL, PRIMARY KEY (asset, t)) WITHOUT ROWID",
    """CREATE TABLE run (
        asset TEXT NOT NULL, t INTEGER NOT NULL, model TEXT, reason TEXT NOT NULL, PRIMARY KEY (asset, t)
    ) WITHOUT ROWID""",
    "CREATE TABLE model (id TEXT PRIMARY KEY, name TEXT NOT NULL, content BLOB NOT NULL)",
    "ALTER TABLE run ADD COLUMN offset BLOB",
    "CREATE TABLE library (id TEXT PRIMARY KEY, name TEXT NOT NULL, content BLOB NOT NULL)",
    """CREATE TABLE former (
        asset TEXT NOT NULL, t INTEGER NOT NULL, clock TEXT, channels BLOB NOT NULL, PRIMARY KEY (asset, t)
    ) WITHOUT ROWID""",
    "ALTER TABLE run ADD COLUMN trend BLOB",
    "CREATE TABLE telling (id INTEGER PRIMARY KEY, change BLOB NOT NULL)",
    "CREATE TABLE unsaved (name TEXT PRIMARY KEY, model TEXT NOT NULL) WITHOUT ROWID",
)


class News:
    """What there is to write."""

    def __init__(self) -> None:
        self.episodes: dict[str, Episode] = {}
        self.runs: list[Run] = []
        self.models: dict[str, tuple[str, bytes]] = {}
        """Name and content of the files of models that came into use, by id."""
        self.unsaved: dict[str, str | None] = {}
        """By file: the id of a model that was learned and could not be written there; None: it need not be any more."""
        self.libraries: dict[str, tuple[str, bytes]] = {}
        """The same of libraries of causes, compressed."""
        self.labels: dict[str, Word | None] = {}
        """What the user said that episodes were; None: they took it back."""
        self.told: list[int] = []
        """Changes that were noted before they were made (`telling`): with these labels they are."""
        self.late: list[tuple[str, int]] = []
        self.former: list[tuple[str, int, str | None, bytes]] = []
        """Assets with other channels by now: the last row that had those, their clock, and they (compressed JSON)."""

    def then(self, later: "News") -> "News":
        """This and what came after it."""
        both = News()
        both.episodes = self.episodes | later.episodes
        both.runs = self.runs + later.runs
        both.models = self.models | later.models
        both.unsaved = self.unsaved | later.unsaved
        both.libraries = self.libraries | later.libraries
        both.labels = self.labels | later.labels
        both.told = self.told + later.told
        both.late = self.late + later.late
        both.former = self.former + later.former
        return both


class Pending:
    """Gathers news until it is committed: what a transaction that failed undid is written with the next."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.news = News()
        """What no transaction has yet."""
        self._written: News | None = None
        """What stands in the transaction that is open."""
        store.on_end(self._ended)

    @property
    def waiting(self) -> bool:
        """Whether there is something to write that no reading brings with it."""
        news = self.news
        return bool(news.episodes or news.runs or news.labels or news.told or news.unsaved)

    def episode(self, id: str) -> Episode | None:
        """An episode as it will stand, or as it stands."""
        return self.news.episodes.get(id) or find_episode(self.store, id)

    def write(self, db: sqlite3.Connection) -> None:
        """Write all there is into the transaction that the caller has begun."""
        news, self.news = self.news, News()
        self._written = news if self._written is None else self._written.then(news)
        write_episodes(db, news.episodes.values())
        models = [(id, name, content) for id, (name, content) in news.models.items()]
        db.executemany("INSERT OR IGNORE INTO model VALUES (?, ?, ?)", models)
        for name, model in news.unsaved.items():
            db.execute("DELETE FROM unsaved WHERE name = ?", (name,))
            if model is not None:
                db.execute("INSERT INTO unsaved VALUES (?, ?)", (name, model))
        libraries = [(id, name, content) for id, (name, content) in news.libraries.items()]
        db.executemany("INSERT OR IGNORE INTO library VALUES (?, ?, ?)", libraries)
        db.executemany("INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?, ?)", news.runs)
        for id, word in news.labels.items():
            write_label(db, id, word)
        db.executemany("DELETE FROM telling WHERE id = ?", [(id,) for id in news.told])
        db.executemany("INSERT OR IGNORE INTO late (asset, t) VALUES (?, ?)", news.late)
        db.executemany("INSERT OR IGNORE INTO former VALUES (?, ?, ?, ?)", news.former)

    def _ended(self, committed: bool) -> None:
        """What was committed needs no writing again; what was undone does."""
        if self._written is not None and not committed:
            self.news = self._written.then(self.news)
        self._written = None


def forget(db: sqlite3.Connection, oldest: int) -> None:
    """Drop what is noted of rows from before the oldest that are kept. The caller has the transaction.

    Args:
        db: the database.
        oldest: UTC nanoseconds.
    """
    db.execute("DELETE FROM late WHERE t < ?", (oldest,))
    db.execute("DELETE FROM former WHERE t < ?", (oldest,))
    db.execute(
        "DELETE FROM run WHERE t < (SELECT max(t) FROM run AS later "
        "WHERE later.asset = run.asset AND later.reason <> 'accept' AND later.t <= ?)",
        (oldest,),
    )
