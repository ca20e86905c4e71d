"""Raw requests that are kept whatever ``keep`` says, so that every count has examples.

They are the slowest of a minute, and some of each outcome. It depends on the file alone which they
are: they are chosen file by file, and requests that are equal otherwise by where they stand. So
neither the windows that read a file nor the names that a rotation gives it change them. A minute
that a rotation cut in two has those of both files.
"""

from __future__ import annotations

#: No request is slower where none has a duration; the first ones of the file are taken then.
_SLOWEST = "PARTITION BY minute ORDER BY duration_ms DESC NULLS LAST, byte_offset"
#: Spread over routes: of each route its first, before any has its second.
_NTH_OF_ROUTE = "PARTITION BY minute, outcome, service, route ORDER BY byte_offset"


def exemplars_sql(table: str, number: int, condition: str = "true") -> str:
    """The rows of ``table`` that are exemplars among those for which ``condition`` holds.

    The exemplars of several parts' exemplars are those of the whole.
    """
    return f"""
        SELECT * EXCLUDE (nth_of_route) FROM (
            SELECT *, row_number() OVER ({_NTH_OF_ROUTE}) AS nth_of_route
            FROM {table} WHERE {condition}
        )
        QUALIFY row_number() OVER ({_SLOWEST}) <= {number}
             OR row_number() OVER (
                    PARTITION BY minute, outcome ORDER BY nth_of_route, byte_offset
                ) <= {number}
    """
