"""What the values of options may be; argparse says the message of a wrong one."""

import argparse


def port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 65535, found {text!r}")
    return int(text)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, found {text!r}")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, found {text!r}")
    return value


def seeds(text: str) -> tuple[int, ...]:
    seeds = text.split(",")
    if not all(seed.isdecimal() for seed in seeds) or len(set(map(int, seeds))) < len(seeds):
        raise argparse.ArgumentTypeError(f"expected different whole numbers, such as 42,123,456, found {text!r}")
    return tuple(map(int, seeds))


def key_and_values(text: str) -> tuple[str, tuple[str, ...]]:
    key, _, listed = text.partition("=")
    values = tuple(value.strip() for value in listed.split(","))
    if not key or not all(values) or len(set(values)) < len(values):
        raise argparse.ArgumentTypeError(f"expected KEY=V1,V2 with different values, found {text!r}")
    return key.strip(), values


def threshold(text: str) -> float | str:
    if text == "chosen":
        return text
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, or chosen, found {text!r}")
    return value


def column_and_value(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals or not column:
        raise argparse.ArgumentTypeError(f"expected COLUMN=VALUE, found {text!r}")
    return column, value
