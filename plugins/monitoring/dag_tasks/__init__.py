"""What the tasks of ``dags/`` call, a module for each DAG: the edge between a run and the chain.

Each function is the whole body of one task. It reads the clock, asks ``resolve_window`` which
window the run is for, opens userdb, makes one call into the chain and returns a few counts for
XCom. What becomes of a task that fails is in ``monitoring.run_failures``; imports that can fail
are inside its hold, so that a broken installation is told like any other failure.
"""
