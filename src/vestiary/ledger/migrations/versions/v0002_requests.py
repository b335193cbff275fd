"""Predictions of the service know the request that asked for them, so that a verdict can name it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column, empty for what is there."""
    op.add_column("predictions", sa.Column("request_id", sa.Text))
    asked = sa.text("request_id IS NOT NULL")
    op.create_index("predictions_by_request", "predictions", ["request_id"], sqlite_where=asked, postgresql_where=asked)


def downgrade() -> None:
    """Drop the column with what is in it. Not by making the table anew: verdicts hang on its rows."""
    op.drop_index("predictions_by_request", "predictions")
    op.drop_column("predictions", "request_id")
