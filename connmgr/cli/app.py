"""All commands together."""

import typer

from connmgr.cli import check, command, demo, events, plugins, reload, run, schema, simulate, status, why

app = typer.Typer(
    name="connmgr",
    help="Keeps every connection to every device alive, and tells how they are.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks can show local variables, and so secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)

for register in (run, check, schema, status, command, why, events, reload, plugins, simulate, demo):
    register.register(app)


@app.callback(invoke_without_command=True)
def _version(
    *, version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True)
) -> None:
    if version:
        from connmgr import __version__

        typer.echo(f"connmgr {__version__}")
        raise typer.Exit
