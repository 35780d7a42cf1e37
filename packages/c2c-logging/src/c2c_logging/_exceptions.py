"""The text of an exception, frames walked by hand.

``traceback.format_exception`` takes 170 us for ten frames, for it looks at the source and the byte code of each to draw
``^^^`` marks; this takes a few. Each frame's text is made, and masked, once.
"""

import linecache
import traceback
from functools import lru_cache
from itertools import groupby
from types import TracebackType

from c2c_logging._values import MASKING, safe, text_of

_MOST_FRAMES = 100
_MOST_LINKS = 20
_REPEATS = 3
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def exception_text(error: BaseException, trace: TracebackType | None) -> str:
    """Return what Python would print for an exception that nobody caught, without marks and masked. Never raises."""
    try:
        return _chain(error, trace)
    except Exception as problem:  # noqa: BLE001 # attributes of exceptions are anybody's code
        return f"{type(error).__name__}: (its traceback can't be made: {type(problem).__name__})\n"


def _chain(error: BaseException, trace: TracebackType | None) -> str:
    blocks: list[str] = []
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen and len(seen) < _MOST_LINKS:
        if isinstance(link, SyntaxError | BaseExceptionGroup):
            return _by_the_library(error, trace)
        seen.add(id(link))
        blocks.append(_one(link, trace if link is error else link.__traceback__))
        if link.__cause__ is not None:
            link = link.__cause__
            blocks.append(_CAUSE)
        elif link.__context__ is not None and not link.__suppress_context__:
            link = link.__context__
            blocks.append(_CONTEXT)
        else:
            link = None
    if len(blocks) % 2 == 0:  # an end that was not reached
        blocks.pop()
    return "".join(reversed(blocks))


def _one(error: BaseException, trace: TracebackType | None) -> str:
    head = f"Traceback (most recent call last):\n{_frames(trace)}" if trace is not None else ""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__qualname__}"
    )
    message = safe(text_of(error))
    text = f"{head}{name}: {message}\n" if message else f"{head}{name}\n"
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list):
        text += "".join(f"{safe(text_of(note))}\n" for note in notes[:_MOST_LINKS])
    return text


def _frames(trace: TracebackType | None) -> str:
    frames: list[str] = []
    version = MASKING.version
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(_frame(code.co_filename, trace.tb_lineno, code.co_name, version))
        trace = trace.tb_next
    if len(frames) > _MOST_FRAMES // 2:
        frames = _shortened(frames)
    return "".join(frames)


def _shortened(frames: list[str]) -> list[str]:
    """Say once what a recursion repeats, then keep both ends."""
    kept: list[str] = []
    for frame, group in groupby(frames):
        count = sum(1 for _ in group)
        kept += [frame] * min(count, _REPEATS)
        if count > _REPEATS:
            kept.append(f"  [Previous line repeated {count - _REPEATS} more times]\n")
    half = _MOST_FRAMES // 2
    if len(kept) > _MOST_FRAMES:
        kept[half:-half] = [f"  [{len(kept) - _MOST_FRAMES} frames left out]\n"]
    return kept


@lru_cache(maxsize=4096)
def _frame(filename: str, line: int | None, function: str, _version: int) -> str:
    source = linecache.getline(filename, line or 0).strip()
    text = f'  File "{filename}", line {line}, in {function}\n'
    return safe(f"{text}    {source}\n" if source else text)


def _by_the_library(error: BaseException, trace: TracebackType | None) -> str:
    """Groups and syntax errors have forms of their own, and are rare enough to take the library's time."""
    whole = traceback.TracebackException(type(error), error, trace, compact=True, limit=_MOST_FRAMES)
    return safe("".join(whole.format(chain=True)))
