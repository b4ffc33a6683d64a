"""What each command does: call the engine, print, return the exit code."""

import argparse
import signal
import sys
import textwrap
import traceback
import webbrowser
from contextlib import nullcontext, suppress
from itertools import zip_longest
from pathlib import Path

import torch

import tabscm.data
from tabscm.commands.describe import described
from tabscm.commands.measure import ablate, bench_accuracy, bench_familiarity, bench_invariance, bench_speed
from tabscm.commands.predict import predict_graph
from tabscm.commands.shared import chosen_device, given_device, go_on, load_experiment, quoted, stem
from tabscm.engine import faults, released
from tabscm.engine.checkpoint import CARD, is_released
from tabscm.engine.evaluate import evaluate, render
from tabscm.engine.loading import load_model, load_run
from tabscm.engine.local.server import opened
from tabscm.engine.lock import locked
from tabscm.engine.model import parameter_count
from tabscm.engine.processes import joined, restarted
from tabscm.engine.rehearsal import rehearse
from tabscm.engine.release import release
from tabscm.engine.report import write_report
from tabscm.engine.runs import REPORT, RESULTS, carry_out, is_started, prepare, write_results
from tabscm.engine.signals import Stopped
from tabscm.engine.start import read_start
from tabscm.engine.untrusted import one_line
from tabscm.engine.written import check_place
from tabscm.kernel.errors import ConfigError, ContractError, TabSCMError, did_you_mean
from tabscm.kernel.files import parse
from tabscm.kernel.interfaces import KINDS
from tabscm.kernel.registry import NO_PLUGINS, ONLY_PLUGINS, Origin, Registry, discover, restricted

COLUMNS = 120
"""Width of the terminal that `list` is made for."""
TORCH = str(Path(torch.__file__).parent)
"""What the names of its files begin with."""


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
        "predict": predict_graph,
        "report": _report,
        "serve": _serve,
        "release": _release,
        "ablate": ablate,
        "bench speed": bench_speed,
        "bench accuracy": bench_accuracy,
        "bench familiarity": bench_familiarity,
        "bench invariance": bench_invariance,
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
    device = chosen_device(args.device)
    experiment = load_experiment(args.experiment, registry, args.overrides)
    run = args.out or Path("runs") / stem(args.experiment)
    with faults.named(run), joined(device) as processes:
        # before an earlier run is replaced, which may be the one to start from
        model = rehearse(experiment, device=device)

        def ready() -> bool:
            resume = args.resume or (restarted() and is_started(run))
            start = None if args.init is None or resume else read_start(args.init, model)
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
                options = {"set": args.overrides, "out": [run], "device": given_device(args)}
                again = f"{go_on('run', [args.experiment], options)} --resume"
                raise Stopped(again, number=getattr(stop, "number", signal.SIGINT)) from None
    print(f"\nAll of it on one page: {quoted(run / REPORT)}")
    print(f"\nNext: python -m tabscm predict {quoted(_example_table())} --run {quoted(run)}")
    return 0


def _check(args: argparse.Namespace, registry: Registry) -> int:
    bad = []
    for path in args.experiments:
        try:
            if path.name.startswith("_"):
                parse(path)
                print(f"{path}: TOML, and by its underscore no experiment by itself; check what extends it")
                continue
            model = rehearse(load_experiment(path, registry, args.overrides), device=torch.device("cpu"))
        except ConfigError as error:
            bad.append(str(error))
        except TabSCMError as error:
            bad.append(f"{path}: {registry.blame(str(error))}")
        except Exception as error:  # of a component: whatever it raises, the other files are checked
            if isinstance(error, AssertionError) or faults.is_out_of_memory(error):
                raise
            bad.append(f"{path}: {type(error).__name__}: {one_line(error)} ({_place(error)})")
        else:
            print(f"{path}: good, {parameter_count(model.parameters()):,} parameters")
    if bad:
        print("\n\n".join(bad), file=sys.stderr)
    return 2 if bad else 0


def _place(error: Exception) -> str:
    """Where an error comes from, outside of torch."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(TORCH)]
    return f"{ours[-1].filename}, line {ours[-1].lineno}, in {ours[-1].name}"


def _eval(args: argparse.Namespace, registry: Registry) -> int:
    device = chosen_device(args.device)
    run = released.find(args.run, whole=True)
    if is_released(run) and args.overwrite:
        raise TabSCMError(f"{run}: a released model keeps the figures of its card. Leave out --overwrite.")
    if args.cells is None:
        model, judged = load_run(run, registry, device)
    else:
        model, judged = load_model(run, registry, device), load_experiment(args.cells, registry, [])
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


def _report(args: argparse.Namespace, registry: Registry) -> int:
    if args.out is not None and args.out.is_dir():
        raise TabSCMError(f"{args.out}: is a folder. Name a file in it, such as {args.out / REPORT}.")
    if args.out is not None:
        check_place(args.out, overwrite=args.overwrite)
    file = args.out or args.run / REPORT  # the run's own page is made anew each time
    write_report(args.run, file, registry, device=chosen_device(args.device))
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
        device=chosen_device(args.device),
        out=sys.stderr,
    )
    print((folder / CARD).read_text("utf-8"))
    print(f"Released: {_near(folder)}")
    return 0


def _list(args: argparse.Namespace, registry: Registry) -> int:
    if args.kind is not None and args.kind not in KINDS:
        found = [f"list {kind} {args.kind}" for kind in KINDS if args.kind in registry.names(kind)]
        near = f" Of this name there is: {', '.join(found)}" if found else did_you_mean(args.kind, KINDS)
        raise TabSCMError(f'no kind is called "{args.kind}".{near}\nkinds: {", ".join(KINDS)}')
    if args.name is not None:
        component_class = registry.find(args.kind, args.name)
        origin = registry.origin(component_class)
        assert origin is not None
        print(described(component_class, _whose(origin), COLUMNS))
        return 0
    width = max((len(entry.component_class.name) for entry in registry.entries(args.kind)), default=0)
    for kind in KINDS if args.kind is None else [args.kind]:
        print(kind)
        for entry in registry.entries(kind):
            first = (entry.component_class.__doc__ or "").strip().splitlines()[0]
            lines = [*textwrap.wrap(first, COLUMNS - width - 4, break_on_hyphens=False), _whose(entry.origin)]
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


def _whose(origin: Origin) -> str:
    return f"{origin}, {_near(Path(origin.file))}"


def _example_table() -> Path:
    return _near(Path(tabscm.data.__path__[0]) / "sachs.csv")


def _near(path: Path) -> Path:
    """A path as seen from here, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
