"""What each command does: call the engine, print, return the exit code."""

import argparse
import json
import math
import shlex
import signal
import sys
import textwrap
import webbrowser
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from itertools import zip_longest
from pathlib import Path

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

import tabscm.data
from tabscm.engine import ablation, bench, comparison, faults, invariance, outsiders, picture, released, scale, workers
from tabscm.engine.benchmark import methods, results, runner, suites
from tabscm.engine.checkpoint import CARD, EXPERIMENT, is_released
from tabscm.engine.elsewhere import predict_on_cluster
from tabscm.engine.evaluate import evaluate, render
from tabscm.engine.graphs import read_graph
from tabscm.engine.knowledge import read_knowledge
from tabscm.engine.limits import check_sizes
from tabscm.engine.loading import load_model, load_run
from tabscm.engine.local.server import opened
from tabscm.engine.lock import locked
from tabscm.engine.measures import MEASURES
from tabscm.engine.model import Model, parameter_count
from tabscm.engine.predict import predict
from tabscm.engine.processes import joined, restarted
from tabscm.engine.progress import Waiting
from tabscm.engine.rehearsal import rehearse
from tabscm.engine.release import release
from tabscm.engine.report import write_report
from tabscm.engine.result import Result, render_score
from tabscm.engine.runs import REPORT, RESULTS, carry_out, is_started, prepare, write_results
from tabscm.engine.signals import Stopped
from tabscm.engine.start import read_start
from tabscm.engine.tables import Asked, DataTable, read_table
from tabscm.engine.targets import described, labelled_cells, read_targets
from tabscm.engine.untrusted import one_line
from tabscm.engine.written import check_place, write_text
from tabscm.kernel.config import load
from tabscm.kernel.errors import ConfigError, ContractError, TabSCMError, did_you_mean
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.interfaces import KINDS
from tabscm.kernel.registry import NO_PLUGINS, ONLY_PLUGINS, Registry, discover, restricted

HELD_OUT = Path("experiments/held-out.toml")
"""The families that no training sees, whose cells `bench accuracy` adds to its suites."""

OUTPUTS = {
    ".html": "a page to explore",
    ".csv": "the edges",
    ".json": "everything",
    ".gml": "for networkx, Gephi, Cytoscape",
    ".dot": "for Graphviz",
}
"""What `predict --out` writes, by how the file's name ends."""

COLUMNS = 120
"""Width of the terminal that `list` is made for."""


def call(args: argparse.Namespace) -> int:
    """Do what the command line says.

    Returns:
        The exit code.

    Raises:
        TabSCMError: something has to be mended first; a component that broke its contract is named with who brought it.
    """
    with restricted(no=args.no_plugins, only=args.only_plugins):
        if getattr(args, "cluster", None) and (args.no_plugins or args.only_plugins):
            raise TabSCMError(
                "--cluster: its workers load what is installed where they run. Leave out --no-plugins and "
                f"--only-plugins, and start the workers with {NO_PLUGINS} or {ONLY_PLUGINS} set."
            )
        return _call(args)


def _call(args: argparse.Namespace) -> int:
    registry = discover()
    commands = {
        "run": _run,
        "check": _check,
        "eval": _eval,
        "predict": _predict,
        "report": _report,
        "serve": _serve,
        "release": _release,
        "ablate": _ablate,
        "bench speed": _bench_speed,
        "bench accuracy": _bench_accuracy,
        "bench familiarity": _bench_familiarity,
        "bench invariance": _bench_invariance,
        "list": _list,
    }
    try:
        return commands[args.command](args, registry)
    except ContractError as error:
        raise ContractError(registry.blame(str(error))) from error
    except (MemoryError, RuntimeError) as error:
        if not faults.is_out_of_memory(error):
            raise
        raise TabSCMError(f"out of memory ({one_line(error)}). Use smaller tables, batches or sizes.") from error


def _run(args: argparse.Namespace, registry: Registry) -> int:
    if args.init is not None and args.resume:
        raise TabSCMError(
            "--init starts a run from other weights, and --resume goes on with those that it has. Leave out --init: a "
            "run that was started with it remembers."
        )
    device = _device(args.device)
    experiment = _load(args.experiment, registry, args.overrides)
    run = args.out or Path("runs") / _stem(args.experiment)
    with faults.named(run), joined(device) as processes:
        # before an earlier run is replaced, which may be the one to start from
        model = rehearse(experiment, device=device)

        def ready() -> bool:
            resume = args.resume or (restarted() and is_started(run))
            start = None if args.init is None or resume else read_start(released.find(args.init), model)
            prepare(run, experiment, registry, resume=resume, overwrite=args.overwrite and not resume, start=start)
            return resume or start is not None

        with locked(run) if processes.leads else nullcontext():
            try:
                resume = processes.tell(ready)
                results = carry_out(run, experiment, device=device, resume=resume, out=sys.stdout, processes=processes)
                if results is None:  # the first process says it all
                    return 0
                print(f"\n{render(results)}")
                write_report(run, run / REPORT, registry, device=device)
            except KeyboardInterrupt as stop:
                options = {"set": args.overrides, "out": [run], "device": _given_device(args)}
                again = f"{_go_on('run', [args.experiment], options)} --resume"
                raise Stopped(again, number=getattr(stop, "number", signal.SIGINT)) from None
    print(f"\nAll of it on one page: {_quoted(run / REPORT)}")
    print(f"\nNext: python -m tabscm predict {_quoted(_example_table())} --run {_quoted(run)}")
    return 0


def _check(args: argparse.Namespace, registry: Registry) -> int:
    bad = []
    for path in args.experiments:
        try:
            model = rehearse(_load(path, registry, args.overrides), device=torch.device("cpu"))
        except ConfigError as error:
            bad.append(str(error))
        except TabSCMError as error:
            bad.append(f"{path}: {registry.blame(str(error))}")
        else:
            print(f"{path}: good, {parameter_count(model.parameters()):,} parameters")
    if bad:
        print("\n\n".join(bad), file=sys.stderr)
    return 2 if bad else 0


def _eval(args: argparse.Namespace, registry: Registry) -> int:
    device = _device(args.device)
    run = released.find(args.run)
    if is_released(run) and args.overwrite:
        raise TabSCMError(f"{run}: a released model keeps the figures of its card. Leave out --overwrite.")
    if args.cells is None:
        model, judged = load_run(run, registry, device)
    else:
        model, judged = load_model(run, registry, device), _load(args.cells, registry, [])
    results = evaluate(model, judged, device=device, tables=args.tables, threshold=model.threshold)
    print(render(results))
    if args.cells is not None or is_released(run):
        return 0
    file = run / RESULTS
    if args.overwrite or not file.exists():
        write_results(run, results)
    else:
        print(f"\n{file} is as it was; --overwrite replaces it.")
    return 0


def _predict(args: argparse.Namespace, registry: Registry) -> int:
    file = Path(args.json) if args.json not in (None, "-") else None
    for out in args.out:
        if out.suffix.lower() not in OUTPUTS:
            offered = ", ".join(f"{suffix} ({what})" for suffix, what in OUTPUTS.items())
            raise TabSCMError(f"--out {out}: what it is to be is told by how its name ends: {offered}")
    for one in [*args.out, *([] if file is None else [file])]:
        check_place(one, overwrite=args.overwrite)
    if (args.conditions is None) != (args.targets is None):
        raise TabSCMError(
            "--conditions and --targets belong together: the column of the conditions, and the file that says what "
            "each of them sets"
        )
    if args.cluster:
        _check_for_cluster(args)
    device = torch.device("cpu") if args.cluster else _device(args.device)
    run = released.find(args.run)
    data, cells = (None, None) if args.cluster else _table(args)
    adj = read_graph(args.graph, data.names) if args.graph and data is not None else None
    knowledge = read_knowledge(args.knowledge) if args.knowledge else None
    model = load_model(run, registry, device)
    if not is_released(run) and not (run / RESULTS).exists():
        print(f"note: {run} has not finished its training", file=sys.stderr)
    threshold = model.threshold if args.threshold == "chosen" else args.threshold
    if data is None:
        result = predict_on_cluster(model, args.table, args.cluster, knowledge=knowledge, out=sys.stderr)
        adj = read_graph(args.graph, result.names) if args.graph else None
    else:
        result = predict(
            model,
            data,
            device=device,
            intervened=cells,
            knowledge=knowledge,
            repeats=args.bootstrap,
            threshold=threshold,
            acyclic=args.acyclic,
            out=sys.stderr,
        )
    score = result.score(adj, threshold, acyclic=args.acyclic) if adj is not None else None
    for out in args.out:
        write_text(out, _written(result, out.suffix.lower(), threshold, args.acyclic, score))
    if args.json is not None:
        text = _written(result, ".json", threshold, args.acyclic, score)
        if file is None:
            print(text, end="")
            return 0
        write_text(file, text)
    for note in result.doubts():
        print(f"note: {note}", file=sys.stderr)
    print(result.render(threshold, acyclic=args.acyclic))
    if score is not None:
        print(f"\n{render_score(score)}")
    return 0


def _check_for_cluster(args: argparse.Namespace) -> None:
    """Refuse what a cluster cannot do."""
    asked = {
        "--where": args.where,
        "--category": args.categories,
        "--interventions": args.interventions,
        "--conditions": args.conditions,
        "--bootstrap": args.bootstrap,
    }
    for option, given in asked.items():
        if given:
            raise TabSCMError(f"--cluster: {option} is for tables that one machine reads. Leave it out.")
    if args.device == "cuda":
        raise TabSCMError("--cluster: its workers compute on their CPUs. Leave out --device.")


def _table(args: argparse.Namespace) -> tuple[DataTable, NDArray[np.bool_] | None]:
    """The table that is asked for, and which of its cells interventions set."""
    targets = read_targets(args.targets) if args.targets else None
    with Waiting(sys.stderr, f"reading {args.table.name}"):
        data = read_table(args.table, where=_once(args.where), categories=args.categories, labels=_labels(args))
    if data.labels is None:
        return data, None
    cells = labelled_cells(data, targets)
    return attrs.evolve(data, notes=(*data.notes, described(data, cells))), cells


def _labels(args: argparse.Namespace) -> Asked | None:
    """The column that says how each row came about."""
    if args.interventions is not None:
        return Asked(args.interventions, "--interventions")
    return None if args.conditions is None else Asked(args.conditions, "--conditions")


def _written(result: Result, suffix: str, threshold: float, acyclic: bool, score: dict[str, float] | None) -> str:
    """A result in the form that one of the OUTPUTS asks for."""
    if suffix == ".html":
        return result.to_html(threshold=threshold, acyclic=acyclic)
    if suffix == ".csv":
        return result.to_edges_csv(threshold, acyclic=acyclic)
    if suffix == ".gml":
        return result.to_gml(threshold, acyclic=acyclic)
    if suffix == ".dot":
        return result.to_dot(threshold, acyclic=acyclic)
    whole = result.to_json(threshold, acyclic=acyclic)
    if score is not None:
        whole["score"] = {name: value if math.isfinite(value) else None for name, value in score.items()}
    return json.dumps(whole, indent=2, allow_nan=False) + "\n"


def _report(args: argparse.Namespace, registry: Registry) -> int:
    if args.out is not None and args.out.is_dir():
        raise TabSCMError(f"{args.out}: is a folder. Name a file in it, such as {args.out / REPORT}.")
    if args.out is not None:
        check_place(args.out, overwrite=args.overwrite)
    file = args.out or args.run / REPORT  # the run's own page is made anew each time
    write_report(args.run, file, registry, device=_device(args.device))
    print(file)
    return 0


def _serve(args: argparse.Namespace, registry: Registry) -> int:
    run = released.find(args.run).absolute()
    load_model(run, registry, torch.device("cpu"))  # what is wrong with it is said now, and not at the first table
    with opened(run, args.port) as server:
        print(f"TabSCM is at {server.address}\nNobody else can reach it. Ctrl-C closes it.", flush=True)
        if not args.no_browser:
            webbrowser.open(server.address)
        # whoever ends it leaves no folder behind
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0


def _release(args: argparse.Namespace, registry: Registry) -> int:
    folder = release(
        args.run,
        registry,
        name=args.name,
        half=args.half,
        hardware=args.hardware,
        into=args.out,
        overwrite=args.overwrite,
        device=_device(args.device),
        out=sys.stderr,
    )
    print((folder / CARD).read_text("utf-8"))
    print(f"Released: {_near(folder)}")
    return 0


def _ablate(args: argparse.Namespace, registry: Registry) -> int:
    base = _load(args.experiments[0], registry, args.overrides)
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
    _expect_known("--cell", [cell], cells)
    _expect_known("--metric", metrics, list(MEASURES))
    out = args.out or Path("ablations") / _stem(args.experiments[0])
    device = _device(args.device)
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
            "device": _given_device(args),
        }
        raise KeyboardInterrupt(_go_on("ablate", args.experiments, options)) from None
    print(f"\n{(out / ablation.TABLE).read_text('utf-8')}")
    if picture.draw(rows, cell, metrics, out / ablation.PICTURE):
        print(f"{out / ablation.PICTURE} shows it.")
    else:
        print(f"For {out / ablation.PICTURE} matplotlib is needed: pip install 'tabscm[plots]'")
    return 0


def _bench_speed(args: argparse.Namespace, registry: Registry) -> int:
    device = _device(args.device)
    file = released.released() / EXPERIMENT if args.experiment is None else args.experiment
    experiment = _load(file, registry, args.overrides)
    print(bench.render(bench.speed(experiment, device=device), device=device), flush=True)
    costs = scale.scale(experiment, device=device, say=lambda line: print(line, file=sys.stderr, flush=True))
    print(f"\n{scale.render(costs)}")
    return 0


def _bench_invariance(args: argparse.Namespace, registry: Registry) -> int:
    device = _device(args.device)
    model, experiment = load_run(released.find(args.run), registry, device)
    found = invariance.invariance(model, experiment, device=device, tables=args.tables)
    print(invariance.render(found, args.tables))
    return 0


def _bench_familiarity(args: argparse.Namespace, registry: Registry) -> int:
    run = released.find(args.run)
    model, experiment = load_run(run, registry, torch.device("cpu"))
    if model.reference is None:
        raise TabSCMError(
            f"{run}: says nothing of what its tables look like; only released models do. Make one: python -m tabscm "
            "release RUN"
        )
    files = args.cells if args.cells is not None else [HELD_OUT] if HELD_OUT.is_file() else []
    others = [(path.stem, load(path, registry)) for path in files]
    found = outsiders.familiarity_bench(
        model.reference, experiment, others, inside=args.inside, tables=args.tables, out=sys.stderr
    )
    print(outsiders.render(found))
    return 0


def _bench_accuracy(args: argparse.Namespace, registry: Registry) -> int:
    chosen = methods.choose(args.methods)
    files = args.cells if args.cells is not None else [HELD_OUT] if HELD_OUT.is_file() else []
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


def _list(args: argparse.Namespace, registry: Registry) -> int:
    if args.kind is not None and args.kind not in KINDS:
        near = did_you_mean(args.kind, KINDS)
        raise TabSCMError(f'no kind is called "{args.kind}".{near}\nkinds: {", ".join(KINDS)}')
    width = max((len(entry.component_class.name) for entry in registry.entries(args.kind)), default=0)
    for kind in KINDS if args.kind is None else [args.kind]:
        print(kind)
        for entry in registry.entries(kind):
            first = (entry.component_class.__doc__ or "").strip().splitlines()[0]
            origin = f"{entry.origin}, {_near(Path(entry.origin.file))}"
            lines = [*textwrap.wrap(first, COLUMNS - width - 4, break_on_hyphens=False), origin]
            for name, line in zip_longest([entry.component_class.name], lines, fillvalue=""):
                print(f"  {name:{width}}  {line}")
    if registry.quarantined:
        print("could not be loaded")
        for plugin in registry.quarantined:
            print(f"  {plugin}")
    if registry.left_out:
        print(f"left out by {registry.left_out[0].how}")
        for left in registry.left_out:
            print(f"  {left}")
    return 0


def _load(path: Path, registry: Registry, overrides: Sequence[str]) -> Experiment:
    """The experiment in a file, when a network can be built of it."""
    experiment = load(path, registry, overrides)
    try:
        check_sizes(experiment)
        Model(experiment)
    except ConfigError as error:
        raise ConfigError(str(path), error.problems) from None
    return experiment


def _stem(path: Path) -> str:
    """What a folder is called after a file."""
    if not path.stem.strip("."):
        raise TabSCMError(f"{path}: no folder can be called {path.stem!r}. Use --out, or rename the file.")
    return path.stem


def _go_on(command: str, experiments: Sequence[Path], options: Mapping[str, Sequence[object]]) -> str:
    """What to type to go on with what was interrupted; the values of each option by its name."""
    words = [f"--{option}={value}" for option, values in options.items() for value in values]
    return f"To go on: python -m tabscm {shlex.join([command, *map(str, experiments), *words])}"


def _given_device(args: argparse.Namespace) -> list[str]:
    return [] if args.device == "auto" else [args.device]


def _expect_known(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise TabSCMError(
                f'{option}: there is no "{name}".{did_you_mean(name, known)}\nthere are: {", ".join(known)}'
            )


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise TabSCMError("there is no CUDA device here. Use --device cpu, or leave --device out.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _once(where: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The conditions on rows by column."""
    conditions: dict[str, str] = {}
    for column, value in where:
        if conditions.setdefault(column, value) != value:
            raise TabSCMError(
                f"--where gives column {column} two values, {conditions[column]} and {value}; no row has both"
            )
    return conditions


def _quoted(path: Path) -> str:
    """A path as the shell takes it."""
    return shlex.quote(str(path))


def _example_table() -> Path:
    return _near(Path(tabscm.data.__path__[0]) / "sachs.csv")


def _near(path: Path) -> Path:
    """A path as seen from here, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
