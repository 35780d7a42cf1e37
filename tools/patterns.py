"""Hold every compiled pattern of the packages to linear time: ``python -m tools.patterns [FOLDER ...]``.

``re`` holds the interpreter while it looks, so a pattern with an unbounded repeat before what it looks for freezes a
process when somebody sends 8 kB of the right letter. Each pattern that a module compiles when it is imported, and each
that stands as a text in a call of ``re``, is run over 8 and 16 kB of many repeated units, with ends that match and ends
that do not. It fails where 16 kB take more than 50 ms, or more than three times as long as 8 kB.
"""

import ast
import importlib
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

UNITS = [
    # A literal would have a line for each.
    *r"""a 1 00 0x a_ a- a. a, a= key- token_ café \ \' ' '' " \" ` ( (( ) [ { < > <a % %( %s $ $$ # &a= ;a= @ ~ ^ * +
    ? ! | : :: / // /* */ :// ://a: http://a a:b, for= eyJ 1.5. e+1""".split(),  # noqa: SIM905 # as said above
    *(" ", "\t", "\n", "\r\n", "\x00", "a ", "-- ", "@ ://a:", "select ", "in (1", ", ?", "x:1 ", "basic ", "a,b ;"),
    "-----BEGIN ",
]
ENDS = ("", "!\x00\n")
SIZES = (8_000, 16_000)
LONGEST = 0.05
# What takes less is not told from noise.
WORTH_A_LOOK = 0.02
GROWTH = 3.0


class _LateError(Exception):
    """It took a second of the processor: enough is known."""


def main(arguments: list[str]) -> int:
    """Print what is too slow; exit 1 where there is any."""
    folders = [Path(one) for one in arguments] or sorted(Path(__file__).parent.parent.glob("packages/*/src"))
    found = {pattern: place for place, pattern in patterns([folder.resolve() for folder in folders])}
    slow = [line for pattern, place in found.items() for line in slowness(place, pattern)]
    sys.stdout.write("".join(f"{line}\n" for line in sorted(slow)))
    sys.stdout.write(f"{len(found)} patterns, {len(slow)} that are not linear\n")
    return 1 if slow or not found else 0


def patterns(folders: list[Path]) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Yield the patterns of the modules below the folders, with where they stand."""
    compiled: list[tuple[str, re.Pattern[Any]]] = []
    compile_ = re.compile

    def noted(*arguments: Any, **options: Any) -> re.Pattern[Any]:
        pattern = compile_(*arguments, **options)
        frame = sys._getframe(1)  # noqa: SLF001 # who compiles: the only way
        if any(Path(frame.f_code.co_filename).is_relative_to(folder) for folder in folders):
            compiled.append((f"{frame.f_globals['__name__']}:{frame.f_lineno}", pattern))
        return pattern

    re.compile = noted  # for what is imported here
    try:
        for folder in folders:
            for file in sorted(folder.glob("**/*.py")):
                if "import re\n" in (text := file.read_text("utf-8")):
                    name = ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
                    compiled += ((f"{name}:{line}", pattern) for line, pattern in _in_calls(ast.parse(text)))
                    importlib.import_module(name)
    finally:
        re.compile = compile_
    return iter(compiled)


def _in_calls(tree: ast.AST) -> Iterator[tuple[int, re.Pattern[Any]]]:
    """Yield the patterns of calls such as ``re.sub(r"a+", ...)``; what an f-string puts in is taken for an ``x``."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=name), args=[first, *_]) if name != "escape":
                parts = first.values if isinstance(first, ast.JoinedStr) else [first]
                texts = [part.value if isinstance(part, ast.Constant) else "x" for part in parts]
                # What ``re.compile`` gives with flags is noted as it is compiled.
                if all(isinstance(text, str) for text in texts) and "VERBOSE" not in ast.dump(node):
                    yield node.lineno, re.compile("".join(map(str, texts)))


def slowness(place: str, pattern: re.Pattern[Any]) -> Iterator[str]:
    """Yield a line on the first text that this pattern takes too long for; measured again, if so."""
    for unit in UNITS:
        for end in ENDS:
            texts = [(unit * size)[:size] + end for size in SIZES]
            if _seconds(pattern, texts[1]) <= WORTH_A_LOOK:
                continue
            # Others share the processor and its caches: the least counts, and it is looked at more than once.
            for _ in range(4):
                small, large = (min(_seconds(pattern, text) for _ in range(3)) for text in texts)
                if large <= WORTH_A_LOOK or (large <= LONGEST and large <= GROWTH * small):
                    break
            else:
                took = f"{large * 1000:.0f} ms for 16 kB, {small * 1000:.0f} for 8"
                yield f"{place}: {took} of {unit!r} with {end!r} at the end: {pattern.pattern!r:.120}"
                return


def _seconds(pattern: re.Pattern[Any], text: str) -> float:
    given: Any = text.encode("utf-8", "replace") if isinstance(pattern.pattern, bytes) else text
    previous = signal.signal(signal.SIGVTALRM, _late)
    signal.setitimer(signal.ITIMER_VIRTUAL, 1)
    begun = time.process_time()
    try:
        pattern.search(given)
    except _LateError:
        pass
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)
    return time.process_time() - begun


def _late(_number: int, _frame: FrameType | None) -> None:
    raise _LateError


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
