"""``zc-search dashboard``: a study in Optuna's dashboard, readable."""

from typing import Annotated

import typer


def dashboard(
    source: Annotated[str, typer.Argument(metavar="RUN|URL", help="A run, or an Optuna storage.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Or the next free one.")] = 8080,
    host: Annotated[str, typer.Option(help="By default this machine alone.")] = "127.0.0.1",
) -> None:
    """Show a study in Optuna's dashboard, until Ctrl-C.

    It may be a search that is still going. Of a run's folder, report and ensemble are served too.
    """
    from zc_search.report.dashboard import is_installed

    if not is_installed():
        from zc_search._utils.text import install_hint
        from zc_search.errors import ZcSearchError

        raise ZcSearchError(
            f"the package optuna-dashboard is not installed: {install_hint('dashboard')}"
        )
    try:
        _serve(source, port, host)
    except KeyboardInterrupt:
        typer.echo("\nstopped")


def _serve(source: str, port: int, host: str) -> None:
    import ipaddress
    from contextlib import suppress

    from zc_search.report.dashboard import make_dashboard, open_source, readable_storage

    opened = open_source(source)
    for sentence in opened.notes:
        typer.echo(sentence, err=True)
    server = make_dashboard(readable_storage(opened.storage), host, port, opened.folder)
    with server:
        chosen = server.server_port
        if port not in (0, chosen):
            typer.echo(f"port {port} is taken, so it is {chosen}", err=True)
        local = host == "localhost"
        with suppress(ValueError):
            local = ipaddress.ip_address(host).is_loopback
        if not local:
            typer.echo(
                f"warning: whoever reaches {host}:{chosen} can read and delete these studies",
                err=True,
            )
        address = f"http://{f'[{host}]' if ':' in host else host}:{chosen}/dashboard"
        typer.echo(f"storage  {opened.shown}")
        for name, identity in opened.studies.items():
            typer.echo(f"study    {name}: {address}/studies/{identity}")
        if not opened.studies:
            typer.echo(f"no study yet: {address}")
        typer.echo("Ctrl-C ends it")
        server.serve_forever(poll_interval=0.1)
