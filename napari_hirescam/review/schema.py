"""The tables of a review's file: what was said is added and never changed; the rest follows."""

from __future__ import annotations

import sqlite3

from napari_hirescam.review.database import Kind

REVIEW = Kind("a review", int.from_bytes(b"HRrv"), 1)

# What holds now is the view `verdicts_by_events`, and nothing else. `verdicts` keeps its answer
# for each reader and item, brought up to date by a trigger within the event's own transaction:
# the view takes seconds for the work list of 36,316 items, the table some hundredths.
# JSON in the columns `about` of items, `value`, `reasons`, `answers`, `edit`, `findings`, `notes`.
_TABLES = """
CREATE TABLE plan (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    content TEXT NOT NULL CHECK (json_valid(content))
);
CREATE TABLE items (
    number INTEGER PRIMARY KEY,
    case_name TEXT NOT NULL,
    patient TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('mask', 'attention')),
    target TEXT NOT NULL,
    ct TEXT NOT NULL,
    series TEXT NOT NULL,
    mask TEXT,
    organ_table TEXT NOT NULL,
    organ_table_is_file INTEGER NOT NULL,
    attention TEXT,
    model TEXT,
    split TEXT NOT NULL,
    repeat_of INTEGER REFERENCES items (number),
    about TEXT NOT NULL CHECK (json_valid(about))
);
-- What a list shows and searches, without the pages that hold the paths.
CREATE TABLE listed (
    number INTEGER PRIMARY KEY REFERENCES items (number),
    case_name TEXT NOT NULL,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    split TEXT NOT NULL,
    searched TEXT NOT NULL,
    worst_check REAL
);
CREATE TABLE facts (
    item INTEGER PRIMARY KEY REFERENCES items (number),
    volume_ml REAL,
    surface_cm2 REAL,
    mean_hu REAL,
    findings TEXT NOT NULL CHECK (json_valid(findings)),
    notes TEXT NOT NULL CHECK (json_valid(notes))
);
CREATE TABLE events (
    number INTEGER PRIMARY KEY,
    item INTEGER NOT NULL REFERENCES items (number),
    reader TEXT NOT NULL CHECK (reader <> ''),
    kind TEXT NOT NULL,
    about TEXT NOT NULL,
    value TEXT NOT NULL CHECK (json_valid(value)),
    time TEXT NOT NULL,
    seconds REAL NOT NULL CHECK (seconds >= 0),
    software TEXT NOT NULL,
    mask_sha256 TEXT NOT NULL
);
CREATE INDEX events_of_item ON events (item, reader);
CREATE TABLE verdicts (
    reader TEXT NOT NULL,
    item INTEGER NOT NULL,
    rating INTEGER,
    reasons TEXT NOT NULL DEFAULT '[]',
    decision TEXT,
    answers TEXT NOT NULL DEFAULT '{}',
    comment TEXT NOT NULL DEFAULT '',
    flagged INTEGER NOT NULL DEFAULT 0,
    edit TEXT,
    unreadable TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0,
    seconds_before REAL NOT NULL DEFAULT 0,
    seconds_this_visit REAL NOT NULL DEFAULT 0,
    last_event INTEGER NOT NULL DEFAULT 0,
    last_time TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (reader, item)
) WITHOUT ROWID;
"""

_VIEW = """
CREATE VIEW verdicts_by_events AS
WITH
aged AS (
    SELECT *,
        row_number() OVER (
            PARTITION BY reader, item, kind, about ORDER BY number DESC
        ) AS age,
        sum(kind = 'opened') OVER (PARTITION BY reader, item ORDER BY number) AS visit
    FROM events
),
visits AS (
    SELECT reader, item, visit, max(seconds) AS seconds FROM aged GROUP BY reader, item, visit
),
times AS (
    SELECT reader, item, sum(seconds) AS total FROM visits GROUP BY reader, item
),
answers_now AS (
    SELECT reader, item, json_group_object(about, json(value)) AS answers
    FROM aged WHERE kind = 'answer' AND age = 1 AND value <> 'null'
    GROUP BY reader, item
),
said AS (
    SELECT reader, item, number, time, kind, json_extract(value, '$') AS value
    FROM aged WHERE age = 1 AND kind <> 'answer'
),
plain AS (
    SELECT reader, item,
        max(value) FILTER (WHERE kind = 'rating') AS rating,
        max(value) FILTER (WHERE kind = 'reasons') AS reasons,
        max(value) FILTER (WHERE kind = 'decision') AS decision,
        max(value) FILTER (WHERE kind = 'comment') AS comment,
        max(value) FILTER (WHERE kind = 'flag') AS flagged,
        max(value) FILTER (WHERE kind = 'edit') AS edit,
        max(value) FILTER (WHERE kind = 'unreadable') AS unreadable,
        max(number) FILTER (WHERE kind = 'done') AS done,
        max(number) FILTER (WHERE kind = 'reopened') AS reopened
    FROM said GROUP BY reader, item
),
last AS (
    SELECT reader, item, max(number) AS number FROM events GROUP BY reader, item
)
SELECT last.reader, last.item, rating, coalesce(reasons, '[]') AS reasons, decision,
    coalesce(answers, '{}') AS answers, coalesce(comment, '') AS comment,
    coalesce(flagged, 0) AS flagged, edit, coalesce(unreadable, '') AS unreadable,
    coalesce(done, 0) > coalesce(reopened, 0) AS done,
    times.total AS seconds, last.number AS last_event, events.time AS last_time
FROM last
JOIN events ON events.number = last.number
JOIN times ON times.reader = last.reader AND times.item = last.item
LEFT JOIN plain ON plain.reader = last.reader AND plain.item = last.item
LEFT JOIN answers_now ON answers_now.reader = last.reader AND answers_now.item = last.item;
"""

_FOLLOW = """
    INSERT INTO verdicts (reader, item) VALUES (NEW.reader, NEW.item) ON CONFLICT DO NOTHING;
    UPDATE verdicts SET
        rating = CASE NEW.kind WHEN 'rating' THEN json_extract(NEW.value, '$') ELSE rating END,
        reasons = CASE NEW.kind WHEN 'reasons'
            THEN coalesce(json_extract(NEW.value, '$'), '[]') ELSE reasons END,
        decision = CASE NEW.kind WHEN 'decision'
            THEN json_extract(NEW.value, '$') ELSE decision END,
        answers = CASE
            WHEN NEW.kind <> 'answer' THEN answers
            WHEN NEW.value = 'null' THEN json_remove(answers, '$."' || NEW.about || '"')
            ELSE json_set(answers, '$."' || NEW.about || '"', json(NEW.value)) END,
        comment = CASE NEW.kind WHEN 'comment'
            THEN coalesce(json_extract(NEW.value, '$'), '') ELSE comment END,
        flagged = CASE NEW.kind WHEN 'flag'
            THEN coalesce(json_extract(NEW.value, '$'), 0) ELSE flagged END,
        edit = CASE NEW.kind WHEN 'edit' THEN json_extract(NEW.value, '$') ELSE edit END,
        unreadable = CASE NEW.kind WHEN 'unreadable'
            THEN coalesce(json_extract(NEW.value, '$'), '') ELSE unreadable END,
        done = CASE NEW.kind WHEN 'done' THEN 1 WHEN 'reopened' THEN 0 ELSE done END,
        seconds_before = seconds_before
            + CASE NEW.kind WHEN 'opened' THEN seconds_this_visit ELSE 0 END,
        seconds_this_visit = CASE NEW.kind WHEN 'opened'
            THEN NEW.seconds ELSE max(seconds_this_visit, NEW.seconds) END,
        last_event = NEW.number,
        last_time = NEW.time
    WHERE reader = NEW.reader AND item = NEW.item;
"""

_NEVER = """
CREATE TRIGGER {table}_never_{verb} BEFORE {verb} ON {table}
BEGIN
    SELECT RAISE(ABORT, '{table} of a review never change');
END;
"""

# INSERT OR REPLACE removes a row without asking the trigger that guards removing.
_NEVER_REPLACED = """
CREATE TRIGGER {table}_never_replaced BEFORE INSERT ON {table}
WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})
BEGIN
    SELECT RAISE(ABORT, '{table} of a review never change');
END;
"""


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of a new review; within a transaction of the caller's."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(_VIEW)
    connection.execute(f"CREATE TRIGGER verdicts_follow AFTER INSERT ON events BEGIN{_FOLLOW}END")
    for table, key in (("events", "number"), ("items", "number"), ("plan", "id")):
        for verb in ("UPDATE", "DELETE"):
            connection.execute(_NEVER.format(table=table, verb=verb))
        connection.execute(_NEVER_REPLACED.format(table=table, key=key))
    connection.execute(f"PRAGMA application_id={REVIEW.application_id}")
    connection.execute(f"PRAGMA user_version={REVIEW.version}")


def require_sound(connection: sqlite3.Connection) -> None:
    """See that the tables that every answer needs are whole; the events take too long each time.

    Raises
    ------
    sqlite3.Error
        They are not, or not there.
    """
    for table in ("plan", "items", "listed", "verdicts"):
        found = connection.execute(f"PRAGMA quick_check({table})").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)


def verdicts_agree(connection: sqlite3.Connection) -> bool:
    """Whether what holds now is what the events say, reader by reader and item by item."""
    columns = (
        "reader, item, rating, reasons, decision, comment, flagged, edit, unreadable, done, "
        "last_event, last_time"
    )
    kept = f"SELECT {columns} FROM verdicts"  # noqa: S608 - our columns
    told = f"SELECT {columns} FROM told"  # noqa: S608
    # Of who opened the file only to read; the table that is made here is no part of it.
    (only_reading,) = connection.execute("PRAGMA query_only").fetchone()
    connection.execute("PRAGMA query_only=OFF")
    try:
        connection.execute("DROP TABLE IF EXISTS temp.told")
        connection.execute("CREATE TEMP TABLE told AS SELECT * FROM verdicts_by_events")
        connection.execute("CREATE UNIQUE INDEX temp.told_key ON told (reader, item)")
        differing = connection.execute(
            f"SELECT EXISTS ({kept} EXCEPT {told}) OR EXISTS ({told} EXCEPT {kept}) OR EXISTS ("  # noqa: S608
            "SELECT 1 FROM verdicts JOIN told USING (reader, item) WHERE "
            "abs(seconds_before + seconds_this_visit - told.seconds) > 1e-6 OR "
            # Keys in whatever order.
            "EXISTS (SELECT key, atom FROM json_each(verdicts.answers) "
            "EXCEPT SELECT key, atom FROM json_each(told.answers)) OR "
            "EXISTS (SELECT key, atom FROM json_each(told.answers) "
            "EXCEPT SELECT key, atom FROM json_each(verdicts.answers)))"
        ).fetchone()[0]
        connection.execute("DROP TABLE temp.told")
    finally:
        connection.execute(f"PRAGMA query_only={only_reading}")
    return not differing


def rebuild_verdicts(connection: sqlite3.Connection) -> None:
    """Make what holds now anew from the events; within a transaction of the caller's."""
    connection.execute("DELETE FROM verdicts")
    connection.execute(
        """
        INSERT INTO verdicts (
            reader, item, rating, reasons, decision, answers, comment, flagged, edit, unreadable,
            done, seconds_before, seconds_this_visit, last_event, last_time
        )
        SELECT told.reader, told.item, rating, reasons, decision, answers, comment, flagged, edit,
            unreadable, done, told.seconds - visit.seconds, visit.seconds, last_event, last_time
        FROM verdicts_by_events AS told
        JOIN (
            -- The visit that goes on: from the last time it was opened.
            SELECT reader, item, max(seconds) AS seconds
            FROM events
            WHERE number >= coalesce((
                SELECT max(number) FROM events AS opened
                WHERE opened.item = events.item AND opened.reader = events.reader
                    AND opened.kind = 'opened'
            ), 0)
            GROUP BY reader, item
        ) AS visit ON visit.reader = told.reader AND visit.item = told.item
        """
    )
