"""``python hello.py [CONFIG_URI [NAME=VALUE...]]``: print what the database says it is."""

import argparse
import sys

import sqlalchemy as sa
import transaction

from c2cwsgiutils.db import get_engine, get_session_factory, get_tm_session
from c2cwsgiutils.setup_process import bootstrap_application_from_options, fill_arguments

parser = argparse.ArgumentParser(description=__doc__)
fill_arguments(parser, default_config_uri="c2c://production.ini")
environment = bootstrap_application_from_options(parser.parse_args())
factory = get_session_factory(get_engine(environment["registry"].settings))
with transaction.manager:
    found = get_tm_session(factory, transaction.manager).execute(sa.text("SELECT value FROM hello")).scalar()
    sys.stdout.write(f"{found}\n")  # in one piece: other threads log to the same place
environment["closer"]()
