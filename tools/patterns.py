"""Hold every compiled pattern of the packages to linear time: ``python -m tools.patterns [FOLDER ...]``.

``re`` holds the interpreter while it looks, so a pattern with an unbounded repeat before what it looks for freezes a
process when somebody sends 8 kB of the right letter. Each pattern that a module, a class or a container in a module
holds, and each that stands as a text in a call of ``re``, is run over 8 and 16 kB of many repeated units, with ends
that match and ends that do not. It fails where 16 kB take more than 50 ms, or more than three times as long as 8 kB.
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

UNITS = (
    *(
        "a",
        "1",
        "00",
        "0x",
        " ",
        "\t",
        "\n",
        "a ",
        "a_",
        "a-",
        "a.",
        "a,",
        "a=",
        "key-",
        "token_",
        "caf\u00e9",
        "\\",
        "\\'",
    ),
    *(
        "'",
        "''",
        '"',
        '\\"',
        "`",
        "(",
        "((",
        ")",
        "[",
        "{",
        "<",
        ">",
        "<a",
        "%",
        "%(",
        "%s",
        "$",
        "$$",
        "#",
        "&a=",
        ";a=",
    ),
    *(
        "@",
        "~",
        "^",
        "*",
        "+",
        "?",
        "!",
        "|",
        ":",
        "::",
        "/",
        "//",
        "-- ",
        "/*",
        "*/",
        "://",
        "://a:",
        "@ ://a:",
        "http://a",
    ),
    *(
        "select ",
        "in (1",
        ", ?",
        "x:1 ",
        "a:b,",
        "for=",
        "eyJ",
        "basic ",
        "-----BEGIN ",
        "\r\n",
        "\x00",
        "a,b ;",
        "1.5.",
        "e+1",
    ),
)
ENDS = ("", "!\x00\n")
SIZES = (8_000, 16_000)
LONGEST = 0.05
# What takes less is not told from noise.
WORTH_A_LOOK = 0.02
GROWTH = 3.0
_DEEPEST = 3


class _LateError(Exception):
    """It took a second of the processor: enough is known."""


def main(arguments: list[str]) -> int:
    """Print what is too slow; exit 1 where there is any."""
    root = Path(__file__).parent.parent
    folders = [Path(one) for one in arguments] or sorted(root.glob("packages/*/src"))
    found = {pattern: name for folder in folders for name, pattern in patterns(folder)}
    slow = [
        line
        for pattern, name in sorted(found.items(), key=lambda one: (one[1], str(one[0].pattern)))
        for line in slowness(name, pattern)
    ]
    sys.stdout.write("".join(f"{line}\n" for line in slow))
    sys.stdout.write(f"{len(found)} patterns, {len(slow)} that are not linear\n")
    return 1 if slow or not found else 0


def patterns(folder: Path) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Yield the patterns that the modules below ``folder`` hold, with where they stand."""
    for file in sorted(folder.glob("**/*.py")):
        text = file.read_text()
        if "import re\n" not in text:
            continue
        name = ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        yield from ((f"{name}:{line}", pattern) for line, pattern in _in_calls(ast.parse(text)))
        module = importlib.import_module(name)
        for key, value in vars(module).items():
            if not isinstance(value, type) or value.__module__ == name:
                yield from ((f"{name}.{key}", pattern) for pattern in _inside(value, _DEEPEST))


def _in_calls(tree: ast.AST) -> Iterator[tuple[int, re.Pattern[Any]]]:
    """Yield the patterns of calls such as ``re.sub(r"a+", ...)``; what an f-string puts in is taken for an ``x``."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=name), args=[first, *_]):
                parts = first.values if isinstance(first, ast.JoinedStr) else [first]
                texts = [part.value if isinstance(part, ast.Constant) else "x" for part in parts]
                # What ``re.compile`` gives with flags is found where it is kept.
                if (
                    name != "escape"
                    and all(isinstance(text, str) for text in texts)
                    and "VERBOSE" not in ast.dump(node)
                ):
                    yield node.lineno, re.compile("".join(map(str, texts)))


def _inside(value: Any, depth: int) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth and isinstance(value, tuple | list | set | frozenset):
        for one in value:
            yield from _inside(one, depth - 1)
    elif depth and isinstance(value, dict):
        yield from _inside([*value.keys(), *value.values()], depth)
    elif depth and isinstance(value, type):
        yield from _inside(list(vars(value).values()), depth - 1)


def slowness(name: str, pattern: re.Pattern[Any]) -> Iterator[str]:
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
                yield f"{took} of {unit!r} with {end!r} at the end: {name} {pattern.pattern!r:.120}"
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
