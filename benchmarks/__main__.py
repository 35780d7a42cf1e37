"""Run the benchmarks: ``python -m benchmarks [name ...]``, all of them without a name."""

import importlib
import pkgutil
import sys

import benchmarks


def main(names: list[str]) -> int:
    """Run the named modules' ``main()``, one after the other."""
    found = sorted(
        module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_")
    )
    unknown = sorted(set(names) - set(found))
    if unknown:
        sys.stderr.write(f"No benchmark {', '.join(unknown)}: there are {', '.join(found)}\n")
        return 2
    for name in names or found:
        print(f"== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
