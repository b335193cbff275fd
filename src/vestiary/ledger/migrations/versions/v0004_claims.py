"""Reviewers claim what they look at, so that no two get the same; the queue is read by confidence and by picture."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table, and the indexes of the queue."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "claims",
        sa.Column("prediction_id", sa.Text, sa.ForeignKey("predictions.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("reviewer", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("at", time, nullable=False),
        sa.Column("until", time, nullable=False),
        sa.Column("acted_at", time),
    )
    op.create_index("claims_by_reviewer", "claims", ["reviewer", "acted_at"])
    op.create_index("predictions_by_confidence", "predictions", ["confidence", "id"])
    op.create_index("predictions_by_picture", "predictions", ["image_sha256"])


def downgrade() -> None:
    """Drop what was made."""
    op.drop_index("predictions_by_picture", "predictions")
    op.drop_index("predictions_by_confidence", "predictions")
    op.drop_table("claims")
