"""The check that the database is at the version which the code wants, by alembic, in this process.

alembic is imported with the check's first run, before its deadline begins to count: imported at the start, or by a
thread then, it would cost each worker as much as SQLAlchemy, just when all of them start, probed or not.
"""

import configparser
import functools
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from c2c_broadcast import ConfigurationError
from c2c_health._check import Check, JsonCheckException, Options
from c2c_health.checks import Kind
from c2c_health.checks.database import engines, on_engine, password_of, remover

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class Migrations(Kind):
    """Adds checks of migrations."""

    def add_alembic_check(
        self,
        session: Any,
        alembic_ini_path: str,
        level: int = 2,
        name: str = "alembic",
        version_schema: str | None = None,
        version_table: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Check that the database is at the heads of the code's migrations; the result is the database's version.

        It is named ``alembic_<path with / as _, stripped>_<name>``, where ``name`` is a section of the ini file. Schema
        and table of the version are these arguments, or the section's ``version_table_schema`` (default ``public``, on
        PostgreSQL) and ``version_table`` (default ``alembic_version``).

        Raises:
            ConfigurationError: The file or its section is missing, or the session has no engine.
        """
        from sqlalchemy import column, select, table

        ini = str(Path(alembic_ini_path).resolve())
        options_of = _read(ini, name)
        engine = next(iter(engines(session).values()))
        schema = version_schema or options_of.get("version_table_schema")
        if schema is None and engine.dialect.name == "postgresql":
            schema = "public"
        version = version_table or options_of.get("version_table") or "alembic_version"
        statement = select(table(version, column("version_num"), schema=schema).c.version_num)

        def compare(session: "Session") -> Any:
            heads, wanted = _heads(ini, name)
            found = sorted(session.scalars(statement))
            result = found[0] if len(found) == 1 else found
            if not wanted <= set(found) <= heads:
                there, here = (", ".join(revisions) or "none" for revisions in (found, sorted(wanted)))
                message = f"Invalid alembic version (database: {there}, code: {here}): run the migrations"
                raise JsonCheckException(message, result)
            return result

        check = Check(
            name=f"alembic_{str(alembic_ini_path).replace('/', '_').strip('_')}_{name}".replace(",", "_"),
            run=on_engine(engine, compare),
            level=level,
            kind="alembic",
            secrets=password_of(engine),
            prepare=lambda: _heads(ini, name),
            **options,
        )
        self.add(check, remover(session))


def _read(ini: str, section: str) -> dict[str, str]:
    """Return what a section says of the version table."""
    if find_spec("alembic") is None:
        raise ConfigurationError("The alembic check needs alembic: pip install 'c2c-health[alembic]'")
    if not Path(ini).is_file():
        raise ConfigurationError(f"The alembic check of {ini}: there is no such file")
    parser = configparser.ConfigParser({"here": str(Path(ini).resolve().parent)})
    try:
        parser.read(ini, encoding="utf-8")
        if parser.has_section(section):
            keys = ("version_table", "version_table_schema")
            return {key: parser.get(section, key) for key in keys if parser.has_option(section, key)}
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The alembic check of {ini}: {' '.join(str(error).split())}") from None
    there_are = ", ".join(parser.sections()) or "none"
    raise ConfigurationError(f"The alembic check of {ini}: it has no section [{section}]; there are: {there_are}")


@functools.cache
def _heads(ini: str, section: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return all heads of the code, and those that the database has to have. The code does not change while it runs.

    A head that another revision depends on (``depends_on``) is implied by that one: ``alembic upgrade heads`` itself
    leaves it out of the version table.
    """
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    folder, config = Path(ini).parent, Config(ini, ini_section=section)
    for key, found in (
        ("script_location", [config.get_main_option("script_location", "")]),
        ("version_locations", config.get_version_locations_list()),
        ("prepend_sys_path", config.get_prepend_sys_paths_list()),
    ):
        # Relative ones are of the ini file's folder, as alembic run there has it; "package:folder" is for alembic.
        of_folder = [one if ":" in one else str(folder / one) for one in found or () if one]
        if of_folder:
            config.set_main_option(key, "\n".join(of_folder).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    try:
        scripts = ScriptDirectory.from_config(config)
    except CommandError as error:
        raise JsonCheckException(f"{ini} [{section}]: {error} Relative locations are of {folder}.") from error
    heads = frozenset(scripts.get_heads())
    implied = {
        revision.revision
        for script in scripts.walk_revisions()
        if script.dependencies
        for revision in scripts.get_revisions(script.dependencies)
        if revision is not None
    }
    return heads, heads - implied
