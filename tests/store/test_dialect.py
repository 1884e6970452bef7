"""Statements in PostgreSQL's words."""

import pytest

from core.store.dialect import translate


@pytest.mark.parametrize(
    ("sql", "text", "parameters"),
    [
        ("SELECT :a, :b, :a", "SELECT $1, $2, $1", ("a", "b")),
        ("SELECT CAST(:a AS BIGINT), b::text", "SELECT CAST($1 AS BIGINT), b::text", ("a",)),
        ("SELECT 1 LIMIT 1 /*pg FOR UPDATE */", "SELECT 1 LIMIT 1 FOR UPDATE ", ()),
        ("SELECT 'kind:name', :a_1", "SELECT 'kind:name', $1", ("a_1",)),
    ],
)
def test_names_become_numbers_and_nothing_else_changes(
    sql: str, text: str, parameters: tuple[str, ...]
):
    statement = translate(sql)

    assert (statement.text, statement.parameters) == (text, parameters)


def test_values_are_put_in_the_order_of_their_numbers():
    statement = translate("UPDATE t SET a = :a WHERE b = :b AND a <> :a")

    assert statement.order({"b": 2, "a": 1}) == [1, 2]


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("INSERT INTO notes (a, b) VALUES (:a, 'x')", "notes"),
        ("INSERT INTO notes (a) VALUES (:a) ON CONFLICT DO NOTHING", None),
        ("INSERT INTO notes (a) VALUES (:a) RETURNING a", None),
        ("INSERT INTO notes (a) VALUES (:a), (:b)", None),
        ("INSERT INTO notes (a) VALUES ((SELECT COUNT(*) FROM notes))", None),
        ("INSERT INTO notes (a) SELECT b FROM others", None),
        ("UPDATE notes SET a = 1", None),
    ],
)
def test_an_insert_is_plain_when_it_adds_exactly_one_row_or_fails(sql: str, table: str | None):
    assert translate(sql).inserts_into == table
