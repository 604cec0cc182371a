-- question: What do we do this week, and how has each number changed in 13 weeks?
select
    now.name,
    now.question,
    now.number,
    now.ci_low,
    now.ci_high,
    now.teams,
    now.side,
    now.threshold,
    now.verdict,
    now.because,
    now.todo,
    now.label,
    sheet.before_number,
    sheet.change,
    now.definition,
    now.as_of
from metric.decisions as now
left join ops.decisions as sheet
    on
        now.name = sheet.name
        and now.definition = sheet.definition
        and date_trunc('week', now.as_of) = sheet.week_on
order by now.verdict asc, now.name asc
