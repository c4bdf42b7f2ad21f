"""${message.capitalize().rstrip(".")}.

Read before you keep it:
* While this runs, the previous version of the program still serves donors. Add first, stop using
  in the next release, remove in the one after.
* Adding a column with a default, an index or a check to a large table locks it on PostgreSQL for
  as long as that takes. Index CONCURRENTLY in a migration of its own; add a check NOT VALID and
  validate it in the next.
* Rows are moved in batches by a job, not here.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
