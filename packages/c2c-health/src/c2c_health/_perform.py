"""Run one check, once, in the current thread: whatever it does ends as an outcome that shows no secret."""

import contextlib
import json
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from c2c_broadcast import Masker
from c2c_health._check import Check
from c2c_health._outcomes import Degraded, JsonCheckException, Outcome, State
from c2c_health._requests import request_for

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_MESSAGE = 2_000
_LONGEST_STACK = 20_000
_LONGEST_RESULT = 256 * 1024


class UnfitResultError(Exception):
    """A check returned what a report can't hold."""


class Performer:
    """Run checks of one application. ``masker`` hides what the application knows to be secret.

    ``clean`` are called after each run, in its thread: they give back what the check took (sessions).
    """

    def __init__(self, masker: Masker, registry: Any) -> None:
        self._masker = masker
        self._registry = registry
        self.clean: list[Callable[[], Any]] = []

    def __call__(self, check: Check, request: Any) -> Outcome:
        """Run ``check`` and return what came of it. Raises nothing."""
        begun = time.perf_counter()
        try:
            with request_for(request, self._registry) as given:
                result = _fit(check.run(given))
        except Degraded as error:
            return self._outcome(check, State.DEGRADED, begun, error, error.json)
        except JsonCheckException as error:
            return self._outcome(check, State.FAILED, begun, error, error.json)
        except BaseException as error:  # noqa: BLE001 # the boundary of a check: whatever it raises is its failure
            return self._outcome(check, State.FAILED, begun, error, None)
        else:
            seconds = time.perf_counter() - begun
            return Outcome(State.PASSED, seconds, time.time(), _hidden(result, self._hider(check)))
        finally:
            self._clean_up()

    def _hider(self, check: Check) -> Masker:
        return _Both(Masker(check.secrets), self._masker) if check.secrets else self._masker

    def _outcome(self, check: Check, state: State, begun: float, error: BaseException, content: Any) -> Outcome:
        seconds = time.perf_counter() - begun
        hide = self._hider(check)
        try:
            result = _hidden(_fit(content), hide)
        except UnfitResultError as unfit:
            result = str(unfit)
        message, stack = _cut(message_of(error), hide, _LONGEST_MESSAGE), _cut(_stack(error), hide, _LONGEST_STACK)
        return Outcome(state, seconds, time.time(), result, message, stack)

    def _clean_up(self) -> None:
        for clean in self.clean:
            with contextlib.suppress(Exception):  # the check has its outcome; a session that can't close is gone
                clean()
        # A check that used a session joined to zope's transaction began one in this thread, and nobody else ends it.
        transaction = sys.modules.get("transaction")
        if transaction is not None:
            with contextlib.suppress(Exception):  # as above
                transaction.abort()


class _Both(Masker):
    """Two maskers, one after the other."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: Masker, second: Masker) -> None:
        super().__init__()
        self._first, self._second = first, second

    def __call__(self, text: str) -> str:
        return self._second(self._first(text))


def message_of(error: BaseException) -> str:
    """Return what an exception says; its type where it says nothing, or can't."""
    # SQLAlchemy's own text has the statement and its parameters, which are nobody's business.
    original = getattr(error, "orig", None)
    error = original if isinstance(original, BaseException) else error
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 # somebody's __str__
        message = ""
    kind = type(error).__name__
    if not message.strip():
        return kind
    # KeyError('x') says just 'x'.
    return f"{kind}: {message}" if isinstance(error, KeyError) else message


def _cut(text: str, hide: Masker, longest: int) -> str:
    """Hide the secrets in ``text`` and bound its length: in this order, as half a secret is one too."""
    text = hide(text[: 10 * longest].encode("utf-8", "replace").decode())
    return text if len(text) <= longest else f"{text[:longest]}..."


def _hidden(result: Any, hide: Masker) -> Any:
    """Hide the secrets in JSON: in keys, too."""

    def with_keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {hide(key): with_keys(item) for key, item in value.items()}
        return [with_keys(item) for item in value] if isinstance(value, list) else value

    return hide.data(with_keys(result)) if result is not None else None


def _stack(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 # as above: a stack is nice to have
        return message_of(error)


def _fit(result: Any) -> Any:
    """Return a copy of ``result`` as JSON has it (RFC 8259).

    Raises:
        UnfitResultError: JSON can't hold it, or it is too large for a report.
    """
    if result is None or isinstance(result, bool):
        return result
    try:
        text = json.dumps(result, allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError) as error:
        raise UnfitResultError(
            f"returned what JSON can't hold ({error}): return a text, a number, a dict or a list"
        ) from None
    if len(text) > _LONGEST_RESULT:
        raise UnfitResultError(f"returned {len(text):,} bytes of JSON: {_LONGEST_RESULT:,} is the most a report takes")
    return json.loads(text)
