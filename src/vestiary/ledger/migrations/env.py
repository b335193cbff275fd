"""Runs migrations in the transaction that ``vestiary.ledger.opening.migrate`` hands over."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
