"""The model of `registry.content.leases` holds, and each of its steps is needed: without it spin finds a violation."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.programs import need

_MODEL = Path(__file__).with_name("gc.pml")
_MUTANTS = dict(
    re.findall(r"^#define ([A-Z_]+) +(\d+) /\*", _MODEL.read_text().partition("#define R ")[0], re.MULTILINE)
)
_OF_DELETIONS = {"RECORD_LAST", "RECORDS_FIRST", "NO_RECORDS"}
_OF_RESTORES = {*_OF_DELETIONS, "BLIND_RESTORE", "SILENT_RESTORE"}
_ONLY_WITHIN_GRACE = {"NO_LINK_LOOK", "BYTES_FIRST", *_OF_DELETIONS}
"""Without these steps nothing acknowledged is lost either; a push may then have to begin again within its grace, or
what was deleted cannot be restored within it."""


def _check(directory: Path, *definitions: str, optimise: str = "-O0") -> str:
    """Look at every state of the model; what the verifier says. Where it soon finds something, to compile it takes
    longest.
    """
    spin, compiler = need("spin"), need("gcc")
    subprocess.run([spin, *definitions, "-a", _MODEL], cwd=directory, check=True, capture_output=True)
    subprocess.run([compiler, optimise, "-DSAFETY", "-o", "pan", "pan.c"], cwd=directory, check=True)
    done = subprocess.run(
        [directory / "pan", "-m400000", "-n", "-w25"], cwd=directory, check=True, capture_output=True, text=True
    )
    assert "max search depth too small" not in done.stdout
    assert "out of memory" not in done.stdout
    return done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("model", [(), ("-DRESTORES",)], ids=["pushes", "restores"])
@pytest.mark.parametrize("grace", [(), ("-DZERO_GRACE",)], ids=["grace", "zero-grace"])
def test_no_order_of_steps_and_no_kill_loses_what_somebody_needs(
    tmp_path: Path, model: tuple[str, ...], grace: tuple[str, ...]
) -> None:
    found = _check(tmp_path, *model, *grace, optimise="-O2")

    assert "errors: 0" in found
    states = re.search(r"([0-9.e+]+) states, stored", found)
    assert states
    assert float(states[1]) > 500_000, "the model has become so small that it says nothing"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", list(_MUTANTS))
def test_without_any_one_step_something_is_lost(tmp_path: Path, mutant: str) -> None:
    zero_grace = () if mutant in _ONLY_WITHIN_GRACE else ("-DZERO_GRACE",)
    model = ("-DRESTORES",) if mutant in _OF_RESTORES else ()

    found = _check(tmp_path, f"-DMUTANT={_MUTANTS[mutant]}", *model, *zero_grace)

    assert "errors: 1" in found
    assert "assertion violated" in found
