"""XML and XML Schema, with lxml."""

from pathlib import Path
from typing import Any

from lxml import etree  # type: ignore[import-not-found,import-untyped,unused-ignore]


def parse(data: bytes, schema: str | Path | None) -> Any:
    """Return the ElementTree of a document, which fits the XML Schema in that file.

    Raises:
        ValueError: it is not well-formed, or not valid
    """
    validator = None if schema is None else etree.XMLSchema(etree.parse(str(schema)))
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        tree = etree.ElementTree(etree.fromstring(data, parser))
        if validator is not None:
            validator.assertValid(tree)
    except (etree.XMLSyntaxError, etree.DocumentInvalid) as error:
        raise ValueError(f"Not the XML that is wanted: {error}") from error
    return tree
