"""A lock between who changes facts and who registers policies.

A change of facts is told to the policies that there are. On a server two transactions don't see
each other's rows: a policy that is registered between the change's look at the policies and its
commit would neither find the facts nor be told of them, ever. So who changes facts shares this
lock, from that look until its commit, and who registers holds it alone: either the facts are
committed before the policy is, or the policy is known to who changes them.

It is the one row of Alembic's table, which is there wherever userdb is, and which no one else
locks but a migration. SQLite needs none: it has one writer, from BEGIN IMMEDIATE on.
"""

from __future__ import annotations

from sqlalchemy import Connection, String, column, select, table

from userdb.migrate import VERSION_TABLE

_ROW = select(column("version_num", String)).select_from(table(VERSION_TABLE))


def share_registration_lock(connection: Connection) -> None:
    """Keep policies from being registered until the transaction's end; others may share it.

    Call it as late as can be: who registers waits, and whoever wants to share it then does too.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(_ROW.with_for_update(read=True))


def take_registration_lock(connection: Connection) -> None:
    """Keep facts from being changed, and others from registering, until the transaction's end.

    Take it before anything is written: then, where a deadlock has to be broken, the server takes
    the transaction that has changed nothing. Wait for no other lock while holding it.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(_ROW.with_for_update())
