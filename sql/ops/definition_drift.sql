-- table: The definition of this print beside that of the print before.
-- grain: one row
-- column definition: Hash of the definition in force.
-- column definition_before: The one of the newest earlier print; null for the first.
-- column printed_before_at: When that was.
-- warn: the definition is that of the print before | definition_before is null
--   or definition = definition_before
with

-- Prints of the night under way are this print's.
earlier as (
    select
        definition,
        printed_at
    from ops.prints
    where printed_at < (select max(p.printed_at) from ops.prints as p)
)

select
    clock.definition,
    (select arg_max(e.definition, e.printed_at) from earlier as e) as definition_before,
    (select max(e.printed_at) from earlier as e) as printed_before_at
from ops.clock as clock
