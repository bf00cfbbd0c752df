"""Small files, small functions, names that say something, and nothing that only one operating system has."""

import ast
import statistics

from tests.architecture.tree import functions, imports, modules

FILE_LINES = 450
FUNCTION_LINES = 80
VAGUE = {"utils", "util", "helpers", "helper", "base", "core", "common", "misc"}
POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_CALLS = {
    *("os.fork", "os.forkpty", "os.getgid", "os.getuid", "os.geteuid", "os.killpg", "os.mkfifo", "os.nice"),
    *("os.setsid", "os.sync", "os.uname", "os.wait", "os.waitpid", "signal.SIGHUP", "signal.SIGKILL"),
    *("signal.SIGALRM", "signal.SIGUSR1", "signal.SIGUSR2", "signal.alarm", "signal.pause", "signal.setitimer"),
}
BOTH_WAYS = {
    "metaxy.storage.leases",  # does the same with what Windows has
    "metaxy.ui.server",  # lowers its priority, where that is one call
}


def test_files_are_short() -> None:
    sizes = {module.name: len(module.text.splitlines()) for module in modules()}
    assert {name: size for name, size in sizes.items() if size > FILE_LINES} == {}


def test_functions_are_short() -> None:
    sizes = {
        f"{module.at(function)} {function.name}": (function.end_lineno or 0) - function.lineno + 1
        for module in modules()
        for function in functions(module)
    }
    ordered = sorted(sizes.values())
    assert {name: size for name, size in sizes.items() if size > FUNCTION_LINES} == {}
    assert ordered[int(len(ordered) * 0.9)] <= 30
    assert statistics.median(ordered) <= 8


def test_names_say_something() -> None:
    assert [module.name for module in modules() if VAGUE & set(module.name.split("."))] == []


def test_only_adapters_call_what_windows_lacks() -> None:
    wrong = [
        f"{module.at(node)}: {name}"
        for module in modules()
        if module.folder != "ext" and module.name not in BOTH_WAYS
        for name, node in [
            *((target.split(".")[0], node) for target, node in imports(module.tree)),
            *((ast.unparse(node), node) for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)),
        ]
        if name in POSIX_MODULES | POSIX_CALLS
    ]
    assert wrong == []
