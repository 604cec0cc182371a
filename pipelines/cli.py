"""The command line: arguments in, one function of a room called, an answer printed.

Belongs here: options, exit codes, and the turning of an error into one sentence.
Does not belong here: any work; heavy modules are imported inside the commands, so that --help
answers at once.
"""

import os
import shutil
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from pipelines.errors import CheckFailed, UsageError

DONE, CHECK_FAILED, USAGE = 0, 1, 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cloudbound")
def cli() -> None:
    """Of the teams that made the plan part of how they work, what share moved to the cloud?"""


def main() -> None:
    """Entry point: run a command, and end with a sentence and an exit code."""
    try:
        # None: colours on a terminal only. https://no-color.org
        cli.main(standalone_mode=False, color=False if os.environ.get("NO_COLOR") else None)
    except click.ClickException as error:
        _end(error.format_message(), USAGE)
    except (click.Abort, KeyboardInterrupt):
        _end("Stopped.", 130)
    except UsageError as error:
        _end(str(error), USAGE)
    except CheckFailed as error:
        _end(str(error), CHECK_FAILED)
    except BrokenPipeError:
        sys.stderr.close()
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        _end(f"{what}; nothing was published.", USAGE)


def _end(sentence: str, code: int) -> None:
    click.echo(" ".join(sentence.split()), err=True)
    sys.exit(code)


def _day(_context: Any, _parameter: Any, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a date like 2026-01-31.") from None


def _moment(_context: Any, _parameter: Any, text: str | None) -> datetime | None:
    from datetime import UTC

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time like 2026-01-31T02:00:00Z.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@cli.command()
@click.option("--teams", default=2000, show_default=True, type=click.IntRange(min=1))
@click.option("--days", default=365, show_default=True, type=click.IntRange(min=1))
@click.option("--seed", default=7, show_default=True, type=int)
@json_option
def demo(teams: int, days: int, seed: int, as_json: bool) -> None:
    """Simulate a world, run the night, print the number beside the planted truth."""
    from pipelines import demonstration, headline, nightly, progress, settings, to_json

    places = settings.from_environment()
    with progress.shown() as show:
        demonstration.simulate_landing(places, teams, days, seed, show)
        done = nightly.run(places, None, None, show)
    found, planted = headline.read(places, None, None), demonstration.truth(places)
    if as_json:
        click.echo(to_json.dumps(found | {"planted": planted, "warnings": done.warnings}))
        return
    click.echo(nightly.sentence(done))
    click.echo(headline.text(found))
    click.echo(demonstration.text(planted))


@cli.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Landing folder.")
@click.option("--teams", required=True, type=int)
@click.option("--days", required=True, type=int, help="Request days; charges begin 180 earlier.")
@click.option("--seed", required=True, type=int)
@click.option("--start", callback=_day, help="First request day.")
@click.option("--rows-per-day", type=int, help="Aim for this many request rows a day.")
@click.option("--dirt", type=float, help="0 (clean) to 1: duplicates, late rows, broken lines.")
@click.option("--intent", type=float, help="How strongly intent drives plan and cloud alike.")
@click.option("--world", default="healthy", show_default=True, help="Preset.")
@click.option(
    "--without", multiple=True, help="Leave out this effect (plan, quota, model); may repeat."
)
@click.option("--force", is_flag=True, help="Replace a folder that the simulator wrote.")
@json_option
def simulate(out: Path, as_json: bool, **options: Any) -> None:
    """Write a planted world as landing files, and its truth beside them."""
    from pipelines import demonstration, progress, to_json

    with progress.shown() as show:
        wrote = demonstration.simulate(out, show, **options)
    said = "Wrote {teams:,} teams and {request_rows:,} request rows to {out}.".format(**wrote)
    click.echo(to_json.dumps(wrote) if as_json else said)


@cli.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--source", help="Name of the source: its folder below landing.")
@click.option("--format", "form", default="auto", show_default=True, help="Adapter to use.")
@click.option("--timezone", default="UTC", show_default=True, help="Zone of naive times.")
@click.option("--dry-run", is_flag=True, help="Say what would be read, and take nothing in.")
@json_option
def ingest(
    paths: tuple[Path, ...],
    source: str | None,
    form: str,
    timezone: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take files or folders into landing/SOURCE and record when they came."""
    from pipelines import ingestion, settings, to_json

    places = settings.from_environment()
    if dry_run:
        from pipelines import inspection

        seen = inspection.inspect(places, paths, source, form, timezone)
        width = shutil.get_terminal_size((110, 24)).columns
        click.echo(to_json.dumps(seen) if as_json else inspection.text(seen, width))
        return
    if source is None:
        raise UsageError("--source is missing: name the folder below landing to take files into.")
    taken = ingestion.ingest(places, paths, source, form, timezone)
    click.echo(to_json.dumps(taken) if as_json else ingestion.text(taken))


@cli.command()
@click.option("--as-of", callback=_day, help="Data clock A (exclusive); default: newest data.")
@click.option("--known-at", callback=_moment, help="Knowledge clock K; default: everything.")
@json_option
def nightly(as_of: date | None, known_at: datetime | None, as_json: bool) -> None:
    """Run the nightly job in this process and publish."""
    from dataclasses import asdict

    from pipelines import nightly as job
    from pipelines import progress, settings, to_json

    places = settings.from_environment()
    with job.told(places), progress.shown() as show:
        done = job.run(places, as_of, known_at, show)
    click.echo(to_json.dumps(asdict(done)) if as_json else job.sentence(done))


@cli.command()
def overdue() -> None:
    """Tell someone when the newest print is older than 36 hours: a line for cron."""
    from pipelines import alerts, settings
    from pipelines.night import utc_now

    places = settings.from_environment()
    alarm = alerts.overdue(places, utc_now())
    if alarm is None:
        click.echo(f"Published {alerts.last_published(places):%Y-%m-%d %H:%M} UTC: in time.")
        return
    raise CheckFailed(" ".join([alarm.text, *alerts.tell(places, alarm)]))


@cli.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(["team", "member"]), help="When the name is both.")
def forget(name: str, kind: str | None) -> None:
    """Remove a team or member from landing, lake and facts, and publish without them."""
    from pipelines import forgetting, nightly, progress, settings
    from pipelines.night import utc_now

    places = settings.from_environment()
    chosen = kind or forgetting.kind_of_name(places, name)
    click.echo(forgetting.forget(places, name, chosen, utc_now()).text())
    with nightly.told(places), progress.shown() as show:
        done = nightly.run(places, None, None, show)
    forgetting.remove_earlier_versions(places)
    click.echo(nightly.sentence(done))


@cli.command()
@click.option("--horizon", type=int, help="Days since T0; default: the definition's.")
@click.option("--by", "by", help="Break down by this column.")
@click.option("--definition", type=click.Path(path_type=Path), help="Another definition file.")
@json_option
def headline(horizon: int | None, by: str | None, definition: Path | None, as_json: bool) -> None:
    """The number, with its interval, its n, and what a usual dashboard would print."""
    from pipelines import headline as answer
    from pipelines import settings, to_json

    found = answer.read(settings.from_environment(), horizon, by, definition)
    click.echo(to_json.dumps(found) if as_json else answer.text(found))


@cli.command()
@click.argument("team")
@json_option
def explain(team: str, as_json: bool) -> None:
    """Why TEAM counts as it does: its days, T0, W, state, and the rows that decided."""
    from pipelines import explanation, settings, to_json

    found = explanation.explain(settings.from_environment(), team)
    click.echo(to_json.dumps(found) if as_json else explanation.text(found))


@cli.command()
@click.option("--events", required=True, help="File (.json, .jsonl, .csv, .parquet) or table.")
@click.option("--steps", required=True, help="Comma-separated event names; * is any event.")
@click.option("--window", help="Longest time from the first step, as in 14d, 1.5h, 30s.")
@click.option("--mode", default="ordered", type=click.Choice(["ordered", "strict", "unordered"]))
@click.option("--exclude", multiple=True, help="Event that taints an attempt; may repeat.")
@click.option("--by", help="Break down by this column of the first step's row.")
@json_option
def funnel(
    events: str,
    steps: str,
    window: str | None,
    mode: str,
    exclude: tuple[str, ...],
    by: str | None,
    as_json: bool,
) -> None:
    """How far entities get through STEPS, over any event file or published table."""
    from pipelines import settings, to_json, warehouse
    from pipelines.funnel import count, definition
    from pipelines.funnel import events as sources

    path = Path(events)
    if path.exists() or path.suffix in sources.SUFFIXES:
        rows = sources.load_events(path)
    else:
        with warehouse.published(settings.from_environment().published) as con:
            rows = sources.clean_events(warehouse.read_table(con, events), events)
    found = count.funnel(
        rows,
        [step.strip() for step in steps.split(",")],
        window_us=definition.parse_window(window) if window else None,
        mode=mode,  # type: ignore[arg-type]  # click.Choice has checked it
        exclude=exclude,
        by=by,
    )
    answer = count.to_json(found)
    click.echo(to_json.dumps(answer) if as_json else count.text(found, steps.split(",")))


@cli.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Default: report.html in the data folder.",
)
@click.option("--lang", default="en", show_default=True, type=click.Choice(["en", "zh"]))
def report(out: Path | None, lang: str) -> None:
    """Write the weekly report, one page without a network."""
    from pipelines import settings
    from pipelines.report.writing import write

    places = settings.from_environment()
    target = out or places.report
    write(places, target, lang)
    click.echo(f"Wrote {target}.")


@cli.command()
@json_option
def doctor(as_json: bool) -> None:
    """Look at the machine and every part of the data folder, and say what is wrong."""
    from pipelines import doctor as doctors
    from pipelines import to_json

    found = doctors.examine()
    if as_json:
        click.echo(to_json.dumps(doctors.as_rows(found)))
    else:
        colours = {"ok": "green", "warn": "yellow", "wrong": "red"}
        for finding in found:
            status = click.style(f"{finding.status:<5}", fg=colours[finding.status])
            click.echo(f"{status}  {finding.part:<9}  {finding.said}")
    sys.exit(DONE if doctors.is_well(found) else CHECK_FAILED)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands and options in SHELL.

    For bash: eval "$(cloudbound completion bash)", in ~/.bashrc for good.
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None  # click.Choice has checked it
    click.echo(made(cli, {}, "cloudbound", "_CLOUDBOUND_COMPLETE").source())


@cli.command("open")
@click.option("--sql", help="Run this query and leave.")
@json_option
def open_(sql: str | None, as_json: bool) -> None:
    """A safe read-only session on the published file."""
    from pipelines import session, settings

    session.open_session(settings.from_environment().published, sql, as_json)


if __name__ == "__main__":
    main()
