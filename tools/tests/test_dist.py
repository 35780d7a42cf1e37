"""Installing from the built wheels: each package alone, each extra, some together; what that brings; that it works."""

import pytest
from packaging.requirements import Requirement

from tools.footprints import constraints, expected
from tools.workspace import packages, third_parties

_ALONE = [package.name for package in packages()]
_EXTRAS = [f"{package.name}[{extra}]" for package in packages() for extra in package.extras]
# What several packages are installed with; each is tried, and what is in tools/tests/smoke/try_<name>_<name>.py.
_TOGETHER = ["c2c-health c2c-db"]
# Extras that are not for the same environment as the others: linesman takes the place of the profiler.
_APART = {"linesman"}
_LOWEST = [
    f"{package.name}[{','.join(sorted({*package.extras} - _APART))}]".removesuffix("[]") for package in packages()
]
_LOWEST += [f"{package.name}[{extra}]" for package in packages() for extra in package.extras if extra in _APART]
# Pyramid 2.0 imports pkg_resources, which setuptools 82 has no more, and does not say so (2.1 does).
_UNDECLARED = "setuptools<82\n"


@pytest.mark.parametrize("wanted", [*_ALONE, *_TOGETHER])
def test_from_wheels(wanted, python, environment):
    """What is installed is what the footprint says, fits together, and answers a request."""
    _try(wanted, environment(python))


@pytest.mark.parametrize("wanted", _EXTRAS)
def test_extras_from_wheels(wanted, found_pythons, environment):
    """So does each extra, on one of the Pythons in turn."""
    _try(wanted, environment(found_pythons[_EXTRAS.index(wanted) % len(found_pythons)]))


def _try(wanted, made):
    requirements = [Requirement(word) for word in wanted.split()]
    made.install(wanted.split(), constraints())
    made.holds_the_wheels()
    # The name that c2c-compat brings beside its own.
    found, declared = made.names() - {"c2cwsgiutils"}, expected(requirements, made.python_version)
    assert found == declared, (
        f"{wanted} on Python {made.python_version}: new {sorted(found - declared)}, gone {sorted(declared - found)}, "
        f"compared with footprint.txt; if that is wanted: make footprints"
    )
    made.smoke(*wanted.split())


@pytest.mark.parametrize("wanted", _LOWEST)
def test_lowest_versions(wanted, environment):
    """With the lowest versions that it declares to work with, and all its extras, a package answers its requests."""
    made = environment(None)
    ours = "".join(f"{found.name}=={found.version}\n" for found in packages())
    lowest = third_parties([Requirement(wanted)])
    made.install([wanted, *lowest], ours + _UNDECLARED, "--resolution", "lowest-direct")
    made.holds_the_wheels()
    made.smoke(wanted)
