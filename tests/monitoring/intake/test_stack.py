"""Fingerprints of stacks: the same cause has the same one in every release, on every host."""

from __future__ import annotations

import time

import pytest
from monitoring.intake.stack import stack_fingerprint

PYTHON = """Traceback (most recent call last):
  File "{folder}/views.py", line {line}, in handle
    pay(order)
  File "{folder}/payments.py", line {line}, in {function}
    raise Declined("card {line}")
app.Declined: card {line}
"""
JAVA = """java.lang.IllegalStateException: order {line}
\tat com.example.Orders.{function}(Orders.java:{line})
\tat com.example.Main.main(Main.java:{line})
"""
NODE = """Error: order {line}
    at {function} ({folder}/orders.js:{line}:13)
    at process.processTicksAndRejections (node:internal/process/task_queues:{line}:5)
"""
OTHER = """panic: order {line}
goroutine {line} [running]:
main.{function}(0xc000{line})
\t{folder}/main.go:{line} +0x1d
"""


@pytest.mark.parametrize("form", [PYTHON, JAVA, NODE, OTHER])
def test_lines_and_folders_make_no_difference_and_functions_do(form: str) -> None:
    def of(folder: str, line: int, function: str = "pay") -> str:
        text = form.format(folder=folder, line=line, function=function)
        return stack_fingerprint("E", text)

    assert of("/srv/app", 10) == of("/home/x/build", 273)
    assert of("/srv/app", 10) != of("/srv/app", 10, "refund")


def test_the_type_makes_a_difference_and_a_stack_may_be_missing() -> None:
    assert stack_fingerprint("A", None) != stack_fingerprint("B", None)
    assert stack_fingerprint("A", None) == stack_fingerprint("A", "")
    assert len(stack_fingerprint("A", None)) == 32


@pytest.mark.parametrize("piece", ['  File "/', "  at a/", "\\/", "a", "at ", '"', "0x", "\n"])
def test_hostile_text_takes_no_time(piece: str) -> None:
    began = time.process_time()
    stack_fingerprint("E", piece * (2_000_000 // len(piece)))
    stack_fingerprint("E", "".join(f"  at {piece * 300}\n" for _ in range(2000)))
    assert time.process_time() - began < 2
