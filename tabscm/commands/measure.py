"""`ablate` and `bench`: comparisons and measurements."""

import argparse
import sys
from pathlib import Path

import torch

from tabscm.commands.shared import chosen_device, expect_known, given_device, go_on, load_experiment, stem
from tabscm.engine import ablation, bench, comparison, invariance, outsiders, picture, released, scale, workers
from tabscm.engine.benchmark import methods, results, runner, suites
from tabscm.engine.checkpoint import EXPERIMENT, is_released
from tabscm.engine.loading import load_run
from tabscm.engine.measures import MEASURES
from tabscm.engine.release import renew_familiarity
from tabscm.kernel.config import load
from tabscm.kernel.errors import TabSCMError
from tabscm.kernel.registry import Registry

HELD_OUT = Path("experiments/held-out.toml")
"""The families that no training sees, whose cells `bench accuracy` adds to its suites."""


def ablate(args: argparse.Namespace, registry: Registry) -> int:
    base = load_experiment(args.experiments[0], registry, args.overrides)
    experiments = {args.experiments[0].stem: base}
    for path in args.experiments[1:]:
        name = path.stem if path.stem not in experiments else str(path)
        experiments[name] = load(path, registry, args.overrides)
    swaps = dict(args.swaps)
    if len(swaps) < len(args.swaps):
        raise TabSCMError("--swap gives one key twice; write all its values in one list: --swap KEY=V1,V2")
    cells = list(base.evaluation.cells) or ["stream"]
    metrics = tuple(args.metrics or comparison.SHOWN)
    cell = cells[0] if args.cell is None else args.cell
    expect_known("--cell", [cell], cells)
    expect_known("--metric", metrics, list(MEASURES))
    out = args.out or Path("ablations") / stem(args.experiments[0])
    device = chosen_device(args.device)
    variants = ablation.check(ablation.grid(experiments, swaps, registry), device=device)
    executor, threads = workers.on_cluster(args.cluster) if args.cluster else workers.on_this_machine(args.jobs)
    plan = ablation.Plan(
        seeds=args.seeds or (base.seed,),
        seconds=args.seconds,
        cell=cell,
        metrics=metrics,
        device="auto" if args.cluster and args.device == "auto" else device.type,
        threads=threads,
    )
    try:
        rows = ablation.ablate(
            out,
            variants,
            plan,
            registry=registry,
            executor=executor,
            overwrite=args.overwrite,
            say=lambda line: print(line, flush=True),
        )
    except KeyboardInterrupt:
        options = {
            "swap": [f"{key}={','.join(values)}" for key, values in args.swaps],
            "seeds": [",".join(map(str, args.seeds))] if args.seeds else [],
            "seconds": [args.seconds] if args.seconds else [],
            "set": args.overrides,
            "out": [out],
            "cell": [args.cell] if args.cell else [],
            "metric": args.metrics or [],
            "jobs": [args.jobs] if args.jobs > 1 else [],
            "cluster": [args.cluster] if args.cluster else [],
            "device": given_device(args),
        }
        raise KeyboardInterrupt(go_on("ablate", args.experiments, options)) from None
    print(f"\n{(out / ablation.TABLE).read_text('utf-8')}")
    if picture.draw(rows, cell, metrics, out / ablation.PICTURE):
        print(f"{out / ablation.PICTURE} shows it.")
    else:
        print(f"For {out / ablation.PICTURE} matplotlib is needed: pip install 'tabscm[plots]'")
    return 0


def bench_speed(args: argparse.Namespace, registry: Registry) -> int:
    device = chosen_device(args.device)
    file = released.released() / EXPERIMENT if args.experiment is None else args.experiment
    experiment = load_experiment(file, registry, args.overrides)
    print(bench.render(bench.speed(experiment, device=device), device=device), flush=True)
    costs = scale.scale(experiment, device=device, say=lambda line: print(line, file=sys.stderr, flush=True))
    print(f"\n{scale.render(costs)}")
    return 0


def bench_invariance(args: argparse.Namespace, registry: Registry) -> int:
    device = chosen_device(args.device)
    model, experiment = load_run(released.find(args.run, whole=True), registry, device)
    found = invariance.invariance(model, experiment, device=device, tables=args.tables)
    print(invariance.render(found, args.tables))
    return 0


def bench_familiarity(args: argparse.Namespace, registry: Registry) -> int:
    run = released.find(args.run, whole=True)
    others = [(path.stem, load(path, registry)) for path in _cells(args)]
    if args.renew:
        renew_familiarity(run, registry, out=sys.stderr)
    model, experiment = load_run(run, registry, torch.device("cpu"))
    if model.reference is None:
        how = "Add it: --renew" if is_released(run) else "Make one: python -m tabscm release RUN"
        raise TabSCMError(f"{run}: says nothing of what its tables look like; only released models do. {how}")
    found = outsiders.familiarity_bench(
        model.reference, experiment, others, inside=args.inside, tables=args.tables, out=sys.stderr
    )
    print(outsiders.render(found))
    return 0


def _cells(args: argparse.Namespace) -> list[Path]:
    """The files whose cells are asked for; else that of the held-out families, where there is a checkout."""
    return args.cells if args.cells is not None else [HELD_OUT] if HELD_OUT.is_file() else []


def bench_accuracy(args: argparse.Namespace, registry: Registry) -> int:
    chosen = methods.choose(args.methods)
    files = _cells(args)
    experiments = [(path.stem, load(path, registry)) for path in files]
    wanted = suites.choose(args.suites, suites.catalogue(experiments))
    run = released.find(args.run) if methods.OURS in chosen else None
    plan = runner.Plan(
        suites=wanted,
        methods=chosen,
        tables=args.tables,
        seconds=args.seconds,
        run=None if run is None else run.absolute(),
        weights=None if run is None else methods.fingerprint(methods.obtain(run)),
        experiments=tuple((path.stem, str(path.absolute())) for path in files),
    )
    executor, _ = workers.on_cluster(args.cluster) if args.cluster else workers.on_this_machine(args.jobs)
    try:
        found = runner.benchmark(
            args.out, plan, executor=executor, overwrite=args.overwrite, say=lambda line: print(line, flush=True)
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("The same command goes on where this one stopped; leave --overwrite out.") from None
    drawn, text = results.write(args.out, plan.suites, found)
    print(f"\n{text}")
    if drawn:
        print(f"{args.out / results.PICTURE} shows it.")
    else:
        print(f"For {args.out / results.PICTURE} matplotlib is needed: pip install 'tabscm[plots]'")
    return 0
