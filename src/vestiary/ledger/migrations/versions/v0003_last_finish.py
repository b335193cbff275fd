"""Jobs know when a run of them last ended well: the next run sets all else of the job anew."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column, and fill it where the newest run ended well."""
    op.add_column("jobs", sa.Column("last_finished_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE jobs SET last_finished_at = ended_at WHERE state = 'finished'")


def downgrade() -> None:
    """Drop the column with what is in it."""
    op.drop_column("jobs", "last_finished_at")
