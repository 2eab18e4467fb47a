"""Rows that a database does not take, for what is in them."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from streambind.inbound.nobodys_fault import is_nobodys_fault
from streambind.persistence.failures import is_undefined_column, is_undefined_table


def is_for_its_values(error: Exception) -> bool:
    """Whether rows were refused, by driver or database, for their values: they would be again. False if something
    else is in the way, or the table or a column is not there."""
    is_other = isinstance(error, DBAPIError) and (is_undefined_table(error) or is_undefined_column(error))
    return not is_other and not is_nobodys_fault(error)
