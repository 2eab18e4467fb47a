"""Which tables a piece of SQL text writes to."""

from __future__ import annotations

import time

import pytest

from streambind.outbound.dml_text import DmlText, Written

TEXT = DmlText(["category", "Lecture"])


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE category SET x = 1",
        "update\n\tcategory\nset x = 1",
        'UPDATE"category" SET x = 1',
        "UPDATE ONLY category SET x = 1",
        "UPDATE OR IGNORE category SET x = 1",
        "UPDATE `category` SET x = 1",
        "UPDATE [category] SET x = 1",
        "update /* why */ category -- now\n set x = 1",
        "update -- a comment\n category set x = 1",
        "INSERT INTO category (a) VALUES (1)",
        "INSERT OR REPLACE INTO category (a) VALUES (1)",
        "REPLACE INTO category (a) VALUES (1)",
        "DELETE FROM category",
        "DELETE FROM ONLY category",
        "UPDATE ONLY (category) SET x = 1",
        "DELETE FROM ONLY (category)",
        "MERGE INTO ONLY category USING other ON true WHEN MATCHED THEN DELETE",
        "TRUNCATE other, ONLY category",
        "TRUNCATE a,b,category",
        "MERGE INTO category USING other ON true WHEN MATCHED THEN DELETE",
        "TRUNCATE category",
        "TRUNCATE TABLE other, category CASCADE",
        "SELECT 1; DELETE FROM category",
        "SELECT 'a''b'; DELETE FROM category WHERE x = 'c'",
        "SELECT \"it's\" FROM other; DELETE FROM category WHERE x = 'a'",
        "WITH gone AS (DELETE FROM category RETURNING *) SELECT * FROM gone",
        "WITH a AS (SELECT 1) UPDATE category SET x = 1",
        "DO $$ BEGIN UPDATE category SET x = 1; END $$",
        "DO LANGUAGE plpgsql $a$ BEGIN UPDATE category SET x = 1; END $a$",
        'DELETE FROM "Lecture"',
        "delete from LECTURE",
        "EXPLAIN ANALYZE DELETE FROM category",
        "INSERT category VALUES (1)",
        "INSERT IGNORE INTO `category` VALUES (1)",
        "INSERT HIGH_PRIORITY IGNORE category VALUES (1)",
        "INSERT INTO category VALUES (1) ON DUPLICATE KEY UPDATE x = 1",
        "REPLACE category VALUES (1)",
        "REPLACE LOW_PRIORITY INTO category VALUES (1)",
        "UPDATE LOW_PRIORITY IGNORE category SET x = 1",
        "DELETE QUICK FROM category",
        "DELETE category FROM category JOIN other ON true",
        "UPDATE other, category SET other.x = category.x, category.y = 1 WHERE other.id = category.id",
        "UPDATE other JOIN `category` ON true SET `category`.`y` = 1",
        "UPDATE category, other SET category.x = other.x",
        "DELETE other, category FROM other JOIN category ON true",
        "LOAD DATA INFILE 'x' INTO TABLE category",
        "/*!50000 DELETE FROM category */",
        "/*M! DELETE FROM category */",
    ],
)
def test_a_write_is_found(sql: str) -> None:
    [written] = TEXT.written(sql)
    assert written.name in ("category", "lecture")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM category",
        "SELECT * FROM category FOR UPDATE",
        "SELECT * FROM category FOR NO KEY UPDATE OF category SKIP LOCKED",
        "SELECT 'update category set x = 1' FROM category",
        "SELECT E'it\\'s: update category' FROM category",
        "SELECT $$delete from category$$",
        "SELECT 1 -- delete from category",
        "SELECT /* delete from category */ 1",
        "UPDATE categories SET x = 1",
        "UPDATE my_category SET x = 1",
        "UPDATE category_log SET x = 1",
        'UPDATE "category_log" SET x = 1',
        "UPDATE other SET category = 1",
        "UPDATE other SET x = category.x FROM category",
        "DELETE FROM other USING category",
        "INSERT INTO other SELECT * FROM category",
        "INSERT INTO other VALUES (1) ON CONFLICT (id) DO UPDATE SET category = 1",
        "INSERT INTO other VALUES (1) ON DUPLICATE KEY UPDATE category = VALUES(category)",
        "SELECT REPLACE(category, 'a', 'b'), REPLACE (category, 'a', 'b'), INSERT(category, 1, 2, 'b') FROM other",
        "CREATE TRIGGER t BEFORE INSERT ON category FOR EACH ROW SET x = 1",
        "DELETE other FROM other JOIN category ON true",
        "UPDATE other, category SET other.x = category.x WHERE category.y = 1",
        "CREATE TABLE category (x int)",
        "CREATE TRIGGER t AFTER UPDATE ON category EXECUTE FUNCTION f()",
        "CREATE FUNCTION f() RETURNS void AS $$ UPDATE category SET x = 1 $$ LANGUAGE sql",
        "ALTER TABLE x ADD FOREIGN KEY (y) REFERENCES category ON DELETE CASCADE ON UPDATE CASCADE",
        "DROP TABLE category",
        "",
    ],
)
def test_what_is_no_write_is_not(sql: str) -> None:
    assert TEXT.written(sql) == ()


def test_every_write_is_counted() -> None:
    sql = "WITH a AS (DELETE FROM category RETURNING 1) UPDATE lecture SET x = 1"
    assert TEXT.written(sql) == (Written("category", None, True), Written("lecture", None, False))


@pytest.mark.parametrize(
    ("sql", "schema"),
    [
        ("UPDATE archive.category SET x = 1", "archive"),
        ('UPDATE "Archive" . "category" SET x = 1', "archive"),
        ("UPDATE base.archive.category SET x = 1", "archive"),
        ("TRUNCATE a.b, archive.category", "archive"),
    ],
)
def test_the_schema_is_told(sql: str, schema: str) -> None:
    assert [written.schema for written in TEXT.written(sql)] == [schema]


def test_long_texts_are_looked_at_too() -> None:
    values = ", ".join(["(1, 2, 3)"] * 2000)
    assert len(TEXT.written(f"INSERT INTO category VALUES {values}")) == 1
    assert TEXT.written(f"INSERT INTO other VALUES {values}") == ()


def test_no_tables_no_writes() -> None:
    assert DmlText([]).written("UPDATE category SET x = 1") == ()


@pytest.mark.parametrize("inside", ["/**/", "-- \n", " ", "a,", "( "])
def test_the_time_grows_with_the_length_of_the_text_only(inside: str) -> None:
    def took(repetitions: int) -> float:
        began = time.process_time()
        TEXT.written(f"update {inside * repetitions} x, 'update {inside * repetitions}' category")
        return time.process_time() - began

    # A text of a hundred kilobytes, which takes minutes where any backtracking is exponential.
    assert took(20_000) < 30
