"""Strike at a file-system call: have it fail, or kill the process before it, in it, or after it.

What Python code calls is counted, one function of `os` or method of an open file after the other, where it touches one
folder or what was opened there. A write can be cut in half. Nothing outside this process is touched.
"""

import builtins
import io
import os
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

BY_PATH = (
    "open",
    "mkdir",
    "replace",
    "rename",
    "unlink",
    "rmdir",
    "stat",
    "lstat",
    "scandir",
    "listdir",
    "remove",
    "chmod",
)
BY_HANDLE = ("fsync", "write", "ftruncate", "posix_fadvise", "close")


HOWS = ("before", "half", "after")
"""When a process is killed, as a call goes."""


class Calls:
    """Counts the calls that touch a folder, and strikes at one of them.

    Args:
        folder: where calls count.
        at: which call to strike at, counted from 1; 0 only counts.
        how: an error number; or "before", "half" or "after", when to kill this process.
        strikes: whether calls after that fail as well, as they do on a full disk.
    """

    def __init__(self, folder, *, at=0, how="before"):
        self.folder, self.at, self.how = os.fspath(folder), at, how
        self.seen = []
        self.struck = None
        self.handles = set()
        self.thread = threading.get_ident()

    def ours(self, path):
        if isinstance(path, int):
            return path in self.handles
        try:
            return os.path.abspath(os.fspath(path)).startswith(self.folder)
        except TypeError:
            return False

    def do(self, name, what, call, half=None):
        """Make a call that counts."""
        if threading.get_ident() != self.thread:
            return call()
        self.seen.append(f"{name} {what}")
        if len(self.seen) != self.at:
            return call()
        self.struck = self.seen[-1]
        if isinstance(self.how, int):
            if half is not None:
                half()  # what a full disk took of it
            raise OSError(self.how, os.strerror(self.how), what if isinstance(what, str) else None)
        if self.how == "half" and half is not None:
            half()
        elif self.how == "after":
            call()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("SIGKILL cannot be survived")


class File:
    """An open file whose calls count."""

    def __init__(self, calls, file, name):
        self._calls, self._file, self._name = calls, file, name
        calls.handles.add(file.fileno())

    def write(self, data):
        return self._calls.do("write", self._name, lambda: self._file.write(data), half=lambda: self._half(data))

    def _half(self, data):
        self._file.write(data[: len(data) // 2])
        self._file.flush()

    def flush(self):
        return self._calls.do("flush", self._name, self._file.flush)

    def read(self, *words):
        return self._calls.do("read", self._name, lambda: self._file.read(*words))

    def close(self):
        if not self._file.closed:
            self._calls.handles.discard(self._file.fileno())
            try:
                self._calls.do("close", self._name, self._file.close)
            finally:
                self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __iter__(self):
        return iter(self._file)

    def __getattr__(self, name):
        return getattr(self._file, name)


@contextmanager
def counted(calls):
    """While this lasts, `calls` sees the calls of this process."""
    kept = {name: getattr(os, name) for name in (*BY_PATH, *BY_HANDLE) if hasattr(os, name)}
    opened = io.open

    def by_path(name, call):
        def made(path, *words, **more):
            # relative to an open folder, as when a tree is removed
            inside = calls.ours(more["dir_fd"]) if more.get("dir_fd") is not None else calls.ours(path)
            if not inside:
                return call(path, *words, **more)
            found = calls.do(name, str(path), lambda: call(path, *words, **more))
            if name == "open":
                calls.handles.add(found)
            return found

        return made

    def by_handle(name, call):
        def made(handle, *words):
            if handle not in calls.handles:
                return call(handle, *words)
            if name == "close":
                calls.handles.discard(handle)
            return calls.do(name, "descriptor", lambda: call(handle, *words))

        return made

    def opening(file, mode="r", *words, **more):
        if isinstance(file, int) or not calls.ours(file):
            return opened(file, mode, *words, **more)
        return File(calls, calls.do(f"open({mode})", str(file), lambda: opened(file, mode, *words, **more)), str(file))

    for name, call in kept.items():
        setattr(os, name, by_path(name, call) if name in BY_PATH else by_handle(name, call))
    # shutil asks whether the functions that it removes trees with are those that it knows
    allowed = [os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks]
    for functions in allowed:
        functions.update({getattr(os, name) for name in kept if kept[name] in functions})
    io.open = builtins.open = opening
    try:
        yield calls
    finally:
        for name, call in kept.items():
            for functions in allowed:
                functions.discard(getattr(os, name))
            setattr(os, name, call)
        io.open = builtins.open = opened


def strike(folder, at, how):
    """Have this process struck for good; for a child that ends with it."""
    context = counted(Calls(Path(folder).absolute(), at=at, how=how))
    context.__enter__()
    return context
