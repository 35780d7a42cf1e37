"""Make the table of gauges."""

import sqlalchemy as sa
from alembic import op

revision = "7c1f0e2d9a55"
down_revision = None


def upgrade():
    """Make it."""
    op.create_table("gauge", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    """Remove it."""
    op.drop_table("gauge")
