"""Programs that build, verify and release the packages of this repository, run from its top: ``python -m tools.x``."""
