"""Create the table hello."""

import sqlalchemy as sa
from alembic import op

revision = "4a8c1bb4e775"
down_revision = None


def upgrade() -> None:
    """Create it, with two greetings."""
    table = op.create_table(
        "hello",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("value", sa.String, nullable=False, unique=True),
    )
    op.bulk_insert(table, [{"value": "hello"}, {"value": "bonjour"}])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("hello")
