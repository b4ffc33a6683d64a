"""What the reference shows: every public name and every public method has a docstring."""

import inspect
import typing

import pytest

import tabscm


def parts(name):
    """A public name, and what is defined in it that users may call."""
    value = getattr(tabscm, name)
    yield name, value
    if inspect.isclass(value):
        for part, found in vars(value).items():
            function = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
            if not part.startswith("_") and inspect.isfunction(function):
                yield f"{name}.{part}", function


@pytest.mark.parametrize("name", tabscm.__all__)
def test_every_public_name_says_what_it_is(name):
    silent = [part for part, value in parts(name) if not typing.get_origin(value) and not inspect.getdoc(value)]
    assert silent == []


def test_all_names_are_there_at_once_for_whoever_documents_them():
    for name in tabscm.__all__:
        assert getattr(tabscm, name) is vars(tabscm)[name]
