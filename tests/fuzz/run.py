"""Fuzz one target with atheris, so many times: python -m tests.fuzz.run TARGET RUNS [SEED]

Where a check fails, its error is on stderr with the input, as a Python literal, and the exit code
is not 0. libFuzzer ends its process, so each target has one of its own.
"""

from __future__ import annotations

import os
import sys
import traceback

import atheris

#: What is ours and Python: coverage of it leads the fuzzer. That of native code is not seen.
_OURS = ["include", "monitoring", "userdb"]
_LONGEST = 20_000

with atheris.instrument_imports(include=_OURS):
    from tests.fuzz.mutation import mutate
    from tests.fuzz.targets import TARGETS


def main(name: str, runs: int, seed: int) -> None:
    """Doesn't return."""
    target = TARGETS[name]
    check = target.open()

    def one(data: bytes) -> None:
        try:
            check(data)
        except BaseException:
            print(f"{name}: fails on {data!r}", file=sys.stderr)
            raise

    def change(data: bytes, most: int, seed: int) -> bytes:
        # one in four by libFuzzer itself, which knows nothing of formats
        if seed % 4 == 0:
            return atheris.Mutate(data, most)
        try:
            return mutate(target, data, seed, most)
        except Exception:
            # libFuzzer would wait for ever
            traceback.print_exc()
            os._exit(70)

    for good in target.seeds:
        one(good)
    arguments = [f"-atheris_runs={runs}", f"-seed={seed}", f"-max_len={_LONGEST}", "-len_control=0"]
    atheris.Setup([sys.argv[0], *arguments, "-verbosity=0"], one, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
