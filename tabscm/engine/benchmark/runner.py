"""The whole benchmark: what is missing or failed is run, what is there stays.

OUT/records/SUITE/METHOD.jsonl    a line for each table, see record.py
    results.json                  everything, summed up
    table.md                      a row for each suite
    picture.png                   accuracy against seconds
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path

import attrs

from tabscm.engine.benchmark.case import EDITION, Suite
from tabscm.engine.benchmark.cell import Cell, Part, perform
from tabscm.engine.benchmark.child import Order
from tabscm.engine.benchmark.methods import OURS, applies
from tabscm.engine.benchmark.record import ENOUGH, Record, read
from tabscm.engine.lease import holds, taken
from tabscm.engine.trial import one_line
from tabscm.engine.whole import write_whole
from tabscm.kernel.errors import TabSCMError

RECORDS = "records"


@attrs.frozen(kw_only=True)
class Plan:
    """What is asked for."""

    suites: Sequence[Suite]
    methods: Sequence[str]
    tables: int
    """Of each suite."""
    seconds: float
    """Limit for a method on one table."""
    run: Path | None
    weights: str | None
    """What tells the network from others; its records alone are taken for it."""
    experiments: tuple[tuple[str, str], ...]
    """(name, file) of experiments whose cells are suites."""


Found = dict[tuple[str, str], dict[int, Record]]
"""Records by suite and method, by table."""


def benchmark(out: Path, plan: Plan, *, executor: Executor, overwrite: bool, say: Callable[[str], None]) -> Found:
    """Run what is missing, suite by suite.

    Args:
        out: the folder; what an earlier call left there is gone on with.
        plan: suites, methods and so on.
        executor: where cells run; how many at once is its business. Closed at the end.
        overwrite: begin the suites and methods of the plan again.
        say: told a line at a time.

    Returns:
        The records of the plan, also those that were there.

    Raises:
        CheckpointError: the folder cannot be written.
        TabSCMError: it holds lines that are no records, or another benchmark took it over.
    """
    try:
        with taken(out) as (lease, token):
            return _carry_out(out, plan, executor, overwrite, say, lease, token)
    finally:
        executor.shutdown()


def missing(plan: Plan, records: Mapping[int, Record]) -> tuple[int, ...]:
    """The tables of a cell that are still to be run, also those that failed: what was amiss may have been mended. None
    when it was over the limit ENOUGH times."""
    if _over(plan, records) >= ENOUGH:
        return ()
    done = {
        table
        for table, record in records.items()
        if record.state == "answered" or (record.state == "over" and record.limit >= plan.seconds)
    }
    return tuple(table for table in range(plan.tables) if table not in done)


def kept(out: Path, plan: Plan, suite: Suite, method: str) -> dict[int, Record]:
    """The records of a cell that count: of this edition, these settings and this network; of tables beyond those of the
    plan too."""
    weights = plan.weights if method == OURS else None
    return {
        record.table: record
        for record in read(_file(out, suite.name, method))
        if record.edition == EDITION and record.settings == suite.settings and record.weights == weights
    }


def _carry_out(
    out: Path,
    plan: Plan,
    executor: Executor,
    overwrite: bool,
    say: Callable[[str], None],
    lease: Path,
    token: str,
) -> Found:
    found: Found = {}
    cells = []
    for suite in plan.suites:
        first = suite.case(0)
        parts = []
        for method in plan.methods:
            if not applies(method, first):
                continue
            file = _file(out, suite.name, method)
            file.parent.mkdir(parents=True, exist_ok=True)
            if overwrite:
                file.unlink(missing_ok=True)
            standing = kept(out, plan, suite, method)
            # what does not count any more, and a line that was cut short, goes
            write_whole(file, "".join(record.line() for _, record in sorted(standing.items())))
            records = {table: record for table, record in standing.items() if table < plan.tables}
            found[suite.name, method] = records
            parts.append(
                Part(
                    method=method,
                    tables=missing(plan, records),
                    over=_over(plan, records),
                    file=str(file.absolute()),
                    weights=plan.weights if method == OURS else None,
                )
            )
        order = Order(suite.name, None if plan.run is None else str(plan.run), plan.experiments)
        wanted = tuple(part for part in parts if part.tables)
        if wanted:
            cells.append(
                Cell(
                    order=order,
                    settings=suite.settings,
                    parts=wanted,
                    seconds=plan.seconds,
                    lease=str(lease),
                    token=token,
                )
            )
    left = sum(len(part.tables) for cell in cells for part in cell.parts)
    again = sum(
        table in found[cell.order.suite, part.method] for cell in cells for part in cell.parts for table in part.tables
    )
    there = sum(map(len, found.values())) - again
    say(f"{len(plan.suites)} suites, {len(plan.methods)} methods: {left} answers to come, {there} are there")
    futures = {executor.submit(perform, cell): cell.order.suite for cell in cells}
    try:
        for count, future in enumerate(as_completed(futures), 1):
            suite_name = futures[future]
            try:
                records_now = future.result()
            # a cluster raises errors of its own, of a worker that died; it is this suite's end and no other's
            except Exception as error:  # noqa: BLE001
                say(f"[{count}/{len(cells)}] {suite_name}: lost: {one_line(error)}")
                continue
            if not holds(lease, token):
                raise TabSCMError(f"{out}: another benchmark has taken over")
            for record in records_now:
                found[suite_name, record.method][record.table] = record
            say(f"[{count}/{len(cells)}] {suite_name}: {_news(records_now)}")
    finally:
        for future in futures:
            future.cancel()
    return found


def _over(plan: Plan, records: Mapping[int, Record]) -> int:
    return sum(record.state == "over" and record.limit >= plan.seconds for record in records.values())


def _news(records: Sequence[Record]) -> str:
    """What was answered in a few words: the mean average precision of each method, and what went wrong."""
    words = []
    for method in dict.fromkeys(record.method for record in records):
        own = [record for record in records if record.method == method]
        precision = sum(record.metrics["ap"] or 0.0 for record in own) / len(own)
        words.append(f"{method} {precision:.3f}")
        failed = [record for record in own if record.state == "failed"]
        if sum(record.state == "over" for record in own):
            words[-1] += " (over the limit)"
        if failed:
            words[-1] += f" ({len(failed)} failed: {failed[0].why})"
    return f"AP {', '.join(words)}, {sum(record.seconds for record in records):.0f} s" if words else "nothing answered"


def _file(out: Path, suite: str, method: str) -> Path:
    return out / RECORDS / suite / f"{method}.jsonl"
