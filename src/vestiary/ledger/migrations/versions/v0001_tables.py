"""The first tables: jobs and their items, predictions, failures, verdicts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("out", sa.Text, nullable=False),
        sa.Column("bundle", sa.Text, nullable=False),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("started_at", time, nullable=False),
        sa.Column("ended_at", time),
        sa.Column("heartbeat_at", time),
        sa.Column("n_total", sa.Integer),
        sa.Column("n_done", sa.Integer, nullable=False),
        sa.Column("n_failed", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text),
    )
    op.create_index("jobs_by_time", "jobs", ["started_at", "id"])
    op.create_table(
        "job_items",
        sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("part", sa.Integer),
        sa.Column("reason", sa.Text),
    )
    op.create_table(
        "predictions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", time, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("image_sha256", sa.Text),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("bundle", sa.Text, nullable=False),
        sa.Column("bundle_name", sa.Text, nullable=False),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("confidence", sa.Float),
        sa.Column("unfamiliar_score", sa.Float),
        sa.Column("unfamiliar", sa.Boolean),
        sa.Column("brightness", sa.Float),
        sa.Column("background", sa.Float),
        sa.Column("features", sa.LargeBinary),
        sa.Column("latency_ms", sa.Float),
        sa.Column("tags", sa.Text, nullable=False),
    )
    op.create_table(
        "failures",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", time, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("quarantined", sa.Boolean, nullable=False),
    )
    for table in ("predictions", "failures"):
        op.create_index(f"{table}_by_time", table, ["at", "id"])
        op.create_index(f"{table}_by_job", table, ["job_id", "at", "id"])
    op.create_table(
        "verdicts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("prediction_id", sa.Text, sa.ForeignKey("predictions.id", ondelete="CASCADE"), nullable=False),
        sa.Column("attribute", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("previous_value", sa.Text, nullable=False),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("at", time, nullable=False),
        sa.Column("note", sa.Text),
    )
    op.create_index("verdicts_by_time", "verdicts", ["at", "id"])
    op.create_index("verdicts_by_prediction", "verdicts", ["prediction_id", "attribute", "reviewer"], unique=True)


def downgrade() -> None:
    """Drop the tables."""
    for table in ("verdicts", "failures", "predictions", "job_items", "jobs"):
        op.drop_table(table)
