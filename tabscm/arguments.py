"""The arguments of each command."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from tabscm.argument_parser import Parser
from tabscm.argument_types import column_and_value, key_and_values, port, positive, seconds, seeds, threshold

RELEASED = "or name of a released model (default: the one that ships)"
OR_ONE = "; RUN:SPECIALIST asks one of several networks alone"


def parser_of_all() -> argparse.ArgumentParser:
    """The arguments of all commands."""
    parser: argparse.ArgumentParser = Parser(prog="tabscm", description="Give it a table, get the causal graph.")
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.set_defaults(command=None, no_plugins=[], only_plugins=[])
    _add_plugins(parser, several=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    run = commands.add_parser("run", help="train a network, evaluate it on fresh tables")
    run.add_argument("experiment", type=Path, metavar="EXPERIMENT", help="a TOML file, such as experiments/quick.toml")
    run.add_argument("--out", type=Path, metavar="DIR", help="folder of the run (default: runs/NAME of the file)")
    again = run.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in the folder")
    again.add_argument("--overwrite", action="store_true", help="replace the run in the folder")
    run.add_argument(
        "--init",
        action="append",
        metavar="RUN",
        help="start from the weights of a run or a released model; RUN:NAME takes one of its specialists, NAME=RUN "
        "puts it into the specialist NAME; may be repeated, and a later one replaces what an earlier one gave",
    )
    _add_set(run)
    _add_device(run)
    run.set_defaults(command="run")

    check = commands.add_parser("check", help="do everything short of training")
    check.add_argument("experiments", type=Path, nargs="+", metavar="EXPERIMENT", help="TOML files")
    _add_set(check)
    check.set_defaults(command="check")

    evaluate = commands.add_parser("eval", help="evaluate a trained run again")
    evaluate.add_argument("run", type=Path, nargs="?", metavar="RUN", help=f"folder of a run {RELEASED}")
    evaluate.add_argument("--tables", type=positive, metavar="N", help="tables per cell (default: the experiment's)")
    where = evaluate.add_mutually_exclusive_group()
    where.add_argument("--overwrite", action="store_true", help="replace the eval.json of the run")
    where.add_argument(
        "--cells",
        type=Path,
        metavar="EXPERIMENT",
        help="judge it on the cells of another experiment file, and print only",
    )
    _add_device(evaluate)
    evaluate.set_defaults(command="eval")

    predict = commands.add_parser("predict", help="read the causal graph off a table")
    predict.add_argument(
        "table",
        type=Path,
        metavar="TABLE",
        help="CSV or TSV whose first row names the columns, perhaps packed (.gz), or Parquet: a file, or a folder of "
        "parts",
    )
    predict.add_argument("--run", type=Path, metavar="RUN", help=f"folder of a trained run {RELEASED}{OR_ONE}")
    predict.add_argument(
        "--where",
        action="append",
        default=[],
        type=column_and_value,
        metavar="COLUMN=VALUE",
        help="use only the rows with this value; may be repeated",
    )
    predict.add_argument(
        "--category",
        action="append",
        default=[],
        dest="categories",
        metavar="COLUMN",
        help="make a variable of this column whatever it looks like, its values numbered in order, as text of 2 to 20 "
        "different values is without asking; may be repeated",
    )
    predict.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="COLUMN",
        help="leave out this column, which is no variable; may be repeated",
    )
    how = predict.add_mutually_exclusive_group()
    how.add_argument(
        "--interventions",
        metavar="COLUMN",
        help="the column that names the variable an intervention set in each row, several with ; between, or is blank",
    )
    how.add_argument(
        "--conditions",
        metavar="COLUMN",
        help="the column that names the condition of each row; what each of them sets is in the file of --targets",
    )
    predict.add_argument(
        "--targets",
        type=Path,
        metavar="FILE",
        help="TOML: for each condition the variable it sets, a list of them, or [] where it sets none",
    )
    predict.add_argument(
        "--threshold",
        type=threshold,
        default=0.5,
        metavar="P",
        help="of an edge: a probability (default: 0.5), or chosen, the one that was best in validation",
    )
    predict.add_argument("--acyclic", action="store_true", help="of the edges, the best graph without a cycle")
    predict.add_argument(
        "--knowledge",
        type=Path,
        metavar="FILE",
        help="tiers, forbidden and required edges to obey: a TOML file or one of Tetrad",
    )
    predict.add_argument(
        "--bootstrap",
        type=positive,
        default=0,
        metavar="N",
        help="draw the rows again N times, such as 100, and say how often each edge is there",
    )
    predict.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="Dask scheduler, such as tcp://host:8786, whose workers read a table in Parquet that is too large for one "
        "machine; they need tabscm, and must see TABLE under the same path (a shared file system)",
    )
    predict.add_argument("--graph", type=Path, metavar="FILE", help="score against a known graph: CSV with from,to")
    predict.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="write everything as JSON, into FILE or to the terminal"
    )
    predict.add_argument(
        "--out",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="write the result into FILE, as its ending says: .html is a page to explore, .csv the edges, .json "
        "everything, .gml and .dot the graph for other programs; may be repeated",
    )
    predict.add_argument("--overwrite", action="store_true", help="replace FILE")
    _add_device(predict)
    predict.set_defaults(command="predict")

    serve = commands.add_parser(
        "serve",
        help="do the same in a browser: drop a table, explore its graph",
        description="A web app for this machine alone. It prints its address, which holds a token.",
    )
    serve.add_argument("--run", type=Path, metavar="RUN", help=f"folder of a trained run {RELEASED}{OR_ONE}")
    serve.add_argument("--port", type=port, default=0, metavar="N", help="to listen on (default: any that is free)")
    serve.add_argument("--no-browser", action="store_true", help="open no browser, only print the address")
    serve.set_defaults(command="serve")

    report = commands.add_parser("report", help="put all that is known of a run on one page of HTML")
    report.add_argument("run", type=Path, metavar="RUN", help="folder of a run, finished or not")
    report.add_argument("--out", type=Path, metavar="FILE", help="where to (default: report.html of the run)")
    report.add_argument("--overwrite", action="store_true", help="replace FILE")
    _add_device(report)
    report.set_defaults(command="report")

    release = commands.add_parser("release", help="put the network of a finished run into the package, with a card")
    release.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    release.add_argument("--name", default="base", metavar="NAME", help="of the released model (default: base)")
    release.add_argument(
        "--half", action="store_true", help="store float16, if that changes no result by more than .001"
    )
    release.add_argument("--hardware", metavar="TEXT", help="what it was trained on (default: what is here)")
    release.add_argument("--out", type=Path, metavar="DIR", help="folder to release into (default: the package's)")
    release.add_argument("--overwrite", action="store_true", help="replace the released model of this name")
    _add_device(release)
    release.set_defaults(command="release")

    _add_ablate(commands)

    _add_bench(commands)

    show = commands.add_parser("list", help="list the components that experiments can use")
    show.add_argument("kind", nargs="?", metavar="KIND", help="one kind only, such as mechanism")
    show.add_argument("name", nargs="?", metavar="NAME", help="one of that kind: what it is, and all its settings")
    show.set_defaults(command="list")
    for command in _leaves(commands):
        _add_plugins(command, several=True)
    return parser


def _add_ablate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    ablate = commands.add_parser(
        "ablate",
        help="find out which part makes the difference",
        description="Train and judge every combination of swaps for every seed, and compare each with the base, which "
        "is the first experiment as it is. Called again, it goes on where it stopped.",
    )
    ablate.add_argument(
        "experiments", type=Path, nargs="+", metavar="EXPERIMENT", help="TOML files: the base, and others to compare"
    )
    ablate.add_argument(
        "--swap",
        action="append",
        default=[],
        type=key_and_values,
        dest="swaps",
        metavar="KEY=V1,V2",
        help="a key of the experiment and its values: names of components, scalars, or TOML files whose content is "
        "laid there; may be repeated, and all combinations are run. A swap in stream changes the tables of the "
        "training, not those of the evaluation",
    )
    ablate.add_argument(
        "--seeds", type=seeds, metavar="S1,S2", help="several, such as 42,123,456 (default: the base's)"
    )
    ablate.add_argument(
        "--seconds",
        type=seconds,
        metavar="S",
        help="train each for about S seconds instead of its steps. How long a step takes is measured before, one row "
        "at a time: measure on a quiet machine; with --jobs, trials that share the cores take longer",
    )
    _add_set(ablate)
    ablate.add_argument("--out", type=Path, metavar="DIR", help="folder (default: ablations/NAME of the base)")
    ablate.add_argument("--overwrite", action="store_true", help="start again instead of going on")
    ablate.add_argument("--cell", metavar="NAME", help="cell of the evaluation that is shown (default: the first)")
    ablate.add_argument(
        "--metric",
        action="append",
        dest="metrics",
        metavar="NAME",
        help="metric that is shown, such as ece; may be repeated (default: auroc, ap, f1, shd, log_prob_gain)",
    )
    _add_workers(ablate, "which share the cores", "trials; they need tabscm, and must see DIR under the same path")
    _add_device(ablate)
    ablate.set_defaults(command="ablate")


def _add_bench(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    bench = commands.add_parser("bench", help="measure how fast it is, how good, and how steady")
    kinds = bench.add_subparsers(title="what is measured", metavar="WHAT", required=True)

    speed = kinds.add_parser(
        "speed",
        help="of the stream, of a training step, and of predictions over sizes of tables, with their memory",
    )
    speed.add_argument(
        "experiment", type=Path, nargs="?", metavar="EXPERIMENT", help="a TOML file (default: the released model's)"
    )
    _add_set(speed)
    _add_device(speed)
    speed.set_defaults(command="bench speed")

    invariance = kinds.add_parser(
        "invariance", help="how many graphs change when the order of columns or rows does, or the units"
    )
    invariance.add_argument("--run", type=Path, metavar="RUN", help=f"folder of a run {RELEASED}")
    invariance.add_argument("--tables", type=positive, default=1000, metavar="N", help="fresh ones (default: 1000)")
    _add_device(invariance)
    invariance.set_defaults(command="bench invariance")

    familiar = kinds.add_parser(
        "familiarity", help="how well tables unlike those of the training are told apart, kind by kind"
    )
    familiar.add_argument("--run", type=Path, metavar="RUN", help=f"a released model: its folder, {RELEASED}")
    familiar.add_argument(
        "--inside", type=positive, default=500, metavar="N", help="fresh tables of the stream (default: 500)"
    )
    familiar.add_argument("--tables", type=positive, default=25, metavar="N", help="of other kinds (default: 25)")
    familiar.add_argument(
        "--cells",
        type=Path,
        nargs="+",
        metavar="EXPERIMENT",
        help="TOML files, each cell of whose evaluation is a kind (default: experiments/held-out.toml, where there is "
        "one)",
    )
    familiar.add_argument(
        "--renew",
        action="store_true",
        help="before, look at the tables of the stream anew, and write what they look like into the familiarity.json "
        "of the released model; its weights and all else stay",
    )
    familiar.set_defaults(command="bench familiarity")

    accuracy = kinds.add_parser(
        "accuracy",
        help="accuracy beside the classical methods",
        description="Judge a trained network and the classical methods on the same tables, which no training has seen. "
        "Called again, it does what is missing.",
    )
    accuracy.add_argument("--run", type=Path, metavar="RUN", help=f"folder of a run {RELEASED}{OR_ONE}")
    accuracy.add_argument(
        "--suites",
        nargs="+",
        default=["core"],
        metavar="NAME",
        help="suites, or how their names begin, such as gauss; core (the default) or all. A name that is not there "
        "lists them",
    )
    accuracy.add_argument("--methods", nargs="+", default=[], metavar="NAME", help="methods (default: all)")
    accuracy.add_argument(
        "--cells",
        type=Path,
        nargs="+",
        metavar="EXPERIMENT",
        help="TOML files, each cell of whose evaluation is a suite more (default: experiments/held-out.toml, where "
        "there is one)",
    )
    accuracy.add_argument("--tables", type=positive, default=25, metavar="N", help="tables of a suite (default: 25)")
    accuracy.add_argument(
        "--seconds",
        type=seconds,
        default=60.0,
        metavar="S",
        help="limit for a method on a table, after which it is stopped (default: 60); after the second time in a suite "
        "it is given up there",
    )
    accuracy.add_argument("--out", type=Path, default=Path("bench"), metavar="DIR", help="folder (default: bench)")
    accuracy.add_argument("--overwrite", action="store_true", help="begin these suites and methods again")
    _add_workers(
        accuracy,
        "of one thread each",
        "methods; they need tabscm, and must see DIR, RUN and the TOML files under the same paths",
    )
    accuracy.set_defaults(command="bench accuracy")


def _leaves(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> Iterator[argparse.ArgumentParser]:
    """The parsers of all commands, those of commands inside commands instead of theirs."""
    for parser in commands.choices.values():
        inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if inner:
            yield from _leaves(inner[0])
        else:
            yield parser


def _add_plugins(parser: argparse.ArgumentParser, *, several: bool) -> None:
    """Which plugins are loaded: before the command one name an option, after it any number."""
    which = parser.add_mutually_exclusive_group()
    for option, words in (
        ("--no-plugins", "leave out these plugins: names of distributions or entry points"),
        ("--only-plugins", "load these alone; builtin is the one that ships"),
    ):
        which.add_argument(
            option,
            nargs="+" if several else None,
            action="extend" if several else "append",
            default=argparse.SUPPRESS,
            metavar="NAME",
            help=words,
        )


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="set one scalar of the experiment, such as trainer.steps=200; may be repeated",
    )


def _add_workers(command: argparse.ArgumentParser, processes: str, work: str) -> None:
    """Where work is done: `processes` says of those here what they are, `work` what workers elsewhere run and need."""
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help=f"processes at once, {processes} (default: 1)"
    )
    where.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help=f"Dask scheduler, such as tcp://host:8786, whose workers run the {work} (a shared file system)",
    )


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto takes a GPU if there is one"
    )
