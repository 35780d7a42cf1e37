"""Make the table of parcels."""

import logging

import sqlalchemy as sa
from alembic import op

revision = "4a8c1bb4e775"
down_revision = None


def upgrade():
    """Make it, with a row."""
    table = op.create_table(
        "parcel",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        schema="parcels",
    )
    op.bulk_insert(table, [{"id": 1, "owner": "Anna"}])
    logging.getLogger("parcels.migration").info("The parcels are there")


def downgrade():
    """Remove it."""
    op.drop_table("parcel", schema="parcels")
