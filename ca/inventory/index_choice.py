"""Taking the choice of an index from an engine that lacks the knowledge for it.

SQLite keeps no counts of values; a column behind a unary plus is none that it looks for rows by. PostgreSQL keeps
counts and believes them: where it expects many matches it walks the primary key until it has met enough of them,
which is the whole table when they are not there.
"""

from typing import Any

from sqlalchemy import Column, ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class _Beside(FunctionElement[Any]):
    """A column that only refuses rows found by another."""

    inherit_cache = True


class _Sorted(FunctionElement[Any]):
    """A column in whose order the rows found must be put: no index of it is walked instead."""

    inherit_cache = True


@compiles(_Beside)
def _as_it_is(element: _Beside, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_Sorted)
def _as_an_expression(element: _Sorted, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    return f"coalesce({column}, {column})"


@compiles(_Beside, "sqlite")
@compiles(_Sorted, "sqlite")
def _behind_a_plus(element: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
    return "+" + compiler.process(element.clauses, **options)


def beside(column: Column[Any]) -> ColumnElement[Any]:
    """Return `column` for a condition on rows that another condition finds."""
    hidden = _Beside(column)
    hidden.type = column.type
    return hidden


def sorted_by(column: Column[Any]) -> ColumnElement[Any]:
    """Return `column` for the order of few rows."""
    hidden = _Sorted(column)
    hidden.type = column.type
    return hidden
