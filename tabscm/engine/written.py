"""Files that a user asks for."""

from pathlib import Path

from tabscm.kernel.errors import TabSCMError


def write_text(file: Path, text: str) -> None:
    """Write a file in UTF-8, replacing what is there; what UTF-8 cannot hold, halves of characters, is written out.

    Raises:
        TabSCMError: it cannot be written.
    """
    check_place(file, overwrite=True)
    try:
        file.write_bytes(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise TabSCMError(f"{file}: cannot be written: {error.strerror}") from None


def check_place(file: Path, *, overwrite: bool) -> None:
    """See that a file can be written, which is worth knowing before the work that is to be in it.

    Raises:
        TabSCMError: it is a folder, or there is no folder for it, or it is there already and may not be replaced.
    """
    if file.is_dir():
        raise TabSCMError(f"{file}: is a folder. Name a file in it.")
    if not file.parent.is_dir():
        raise TabSCMError(f"{file}: there is no folder {file.parent}; make it first")
    if file.exists() and not overwrite:
        raise TabSCMError(f"{file}: exists already. Use --overwrite to replace it.")
