"""Which planted faults the automatic checks of masks catch, and when they cry without a fault.

Masks that are sound are damaged in known ways: on phantoms, and on the real CTs in the folder
`shared` beside the checkout where there is one. Half of the patients served for tuning; the
other half is what counts.

    python benchmarks/mask_checks.py
    python benchmarks/mask_checks.py --half tuning --list
    python benchmarks/mask_checks.py --phantoms 2 --no-real
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from mask_faults import FAULTS, Case, Fault
from mask_patients import patients

from napari_hirescam.review import checks
from napari_hirescam.review.item import MaskFacts

LEAST_CAUGHT = 0.95
MOST_FALSE = 0.05


@dataclass(frozen=True)
class Trial:
    """One mask, sound or damaged, and what the checks said of it.

    Parameters
    ----------
    source
        "phantoms" or "real CTs".
    patient, organ
        Whose mask.
    fault
        What was planted; empty for a sound mask.
    alarms
        Names of the checks that fired, remarks left out.
    remarks
        Names of those that only remarked.
    seconds
        That the checks took.
    """

    source: str
    patient: str
    organ: str
    fault: str
    alarms: Sequence[str]
    remarks: Sequence[str]
    seconds: float


def trials_of(case: Case, source: str, faults: Iterable[Fault]) -> Iterator[Trial]:
    """Check each sound mask of a scan, and each damaged copy of it."""
    scan = checks.survey_scan(case.ct, find=True)
    for number, (organ, sound) in enumerate(case.masks.items()):
        for fault in (None, *faults):
            rng = np.random.default_rng([number, FAULTS.index(fault) if fault else 999])
            mask = sound if fault is None else fault.plant(case, organ, rng)
            if mask is None:
                continue
            begin = time.perf_counter()
            facts = checks.check_mask(case.ct, mask, organ, scan=scan)
            seconds = time.perf_counter() - begin
            alarms, remarks = _names(facts)
            name = "" if fault is None else fault.name
            yield Trial(source, case.name, organ, name, alarms, remarks, seconds)


def _names(facts: MaskFacts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Checks that found something: as an alarm, and as a remark only."""
    loud = {one.check for one in facts.findings if one.severity >= checks.ALARM}
    quiet = {one.check for one in facts.findings} - loud
    return tuple(sorted(loud)), tuple(sorted(quiet))


def caught_table(trials: list[Trial]) -> list[tuple[str, str, int, int, int]]:
    """Fault, its own checks, how often planted, caught by them, caught by any check."""
    rows = []
    for fault in FAULTS:
        of = [one for one in trials if one.fault == fault.name]
        own = sum(bool(set(fault.checks) & set(one.alarms)) for one in of)
        whatever = sum(bool(one.alarms) for one in of)
        rows.append((fault.name, ", ".join(fault.checks), len(of), own, whatever))
    return rows


def false_table(trials: list[Trial]) -> list[tuple[str, int, int]]:
    """Check, alarms on sound masks, sound masks."""
    sound = [one for one in trials if not one.fault]
    count = Counter(name for one in sound for name in one.alarms)
    return [(name, count[name], len(sound)) for name in checks.CHECKS]


def show(trials: list[Trial], title: str) -> bool:
    """Print both tables; whether the promises hold."""
    planted = [one for one in trials if one.fault]
    sound = [one for one in trials if not one.fault]
    print(f"\n## {title}\n\n| fault | its checks | planted | by its checks | by any | missed |")
    print("|---|---|---|---|---|---|")
    own_all = any_all = 0
    for name, own_checks, n, own, whatever in caught_table(trials):
        own_all, any_all = own_all + own, any_all + whatever
        if n:
            shares = f"{own} ({own / n:.0%}) | {whatever} ({whatever / n:.0%}) | {n - whatever}"
            print(f"| {name} | {own_checks} | {n} | {shares} |")
    n = len(planted)
    shares = f"{own_all} ({own_all / n:.1%}) | {any_all} ({any_all / n:.1%}) | {n - any_all}"
    print(f"| **all** | | {n} | {shares} |")
    print("\n| check | false alarms on sound masks |\n|---|---|")
    for name, false, _ in false_table(trials):
        if false:
            print(f"| {name} | {false} |")
    cried = sum(bool(one.alarms) for one in sound)
    print(f"| **masks with any** | {cried} of {len(sound)} ({cried / len(sound):.1%}) |")
    seconds = sorted(one.seconds for one in trials)
    print(
        f"\nA mask took {seconds[len(seconds) // 2]:.2f} s (median), {seconds[-1]:.2f} s at most."
    )
    return any_all >= LEAST_CAUGHT * n and cried <= MOST_FALSE * len(sound)


def main() -> int:
    """Print what was caught, missed and cried for nothing; 1 if it is worse than we promise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--half", choices=("tuning", "test"), default="test")
    parser.add_argument("--phantoms", type=int, default=8)
    parser.add_argument("--no-real", action="store_true")
    parser.add_argument("--patient", action="append", help="this one only")
    parser.add_argument("--fault", choices=[fault.name for fault in FAULTS], action="append")
    parser.add_argument("--list", action="store_true", help="name what was missed and cried")
    parser.add_argument("--json", type=Path, help="write all trials there")
    parser.add_argument("--read", type=Path, nargs="+", help="show trials of earlier runs instead")
    options = parser.parse_args()
    faults = [one for one in FAULTS if not options.fault or one.name in options.fault]
    trials: list[Trial] = []
    for path in options.read or ():
        trials += [Trial(**one) for one in json.loads(path.read_text())]
    found = (
        ()
        if options.read
        else patients(
            options.half, options.phantoms, real=not options.no_real, only=options.patient or ()
        )
    )
    for source, case in found:
        trials += trials_of(case, source, faults)
        print(f"{source}: {case.name}, {len(case.masks)} masks", file=sys.stderr)
    holds = [
        show([one for one in trials if one.source == source], f"{source}, {options.half} half")
        for source in dict.fromkeys(one.source for one in trials)
    ]
    own = {fault.name: set(fault.checks) for fault in FAULTS}
    if options.list:
        for one in trials:
            if one.fault and not one.alarms:
                print("missed:", one.patient, one.organ, one.fault)
            elif one.fault and not own[one.fault] & set(one.alarms):
                print("caught by others:", one.patient, one.organ, one.fault, one.alarms)
            elif not one.fault and one.alarms:
                print("cried:", one.patient, one.organ, one.alarms)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(one) for one in trials]))
    return int(not all(holds))


if __name__ == "__main__":
    raise SystemExit(main())
