"""connmgr why: one connection explained."""

import time
from typing import Any

import typer

from connmgr.cli.client import IdArgument, JsonOption, SocketOption, ask, path_of, print_json
from connmgr.cli.words import MARKS, clock, duration, milliseconds, plain

LAYERS = {
    "name": "the name could not be resolved: check the host name and DNS",
    "tcp": "the network or the port: the device is off, unplugged, or something blocks the way to it",
    "protocol": "the link opened, but the answers were not what the protocol promises",
    "login": "the device refused our name, password or key",
    "device": "the link opened, but the device did not answer as it should",
    "deadline": "nothing came back in time: nobody is there, or it is too slow for the configured timeout",
    "plugin": "the plugin failed or cannot be used, whatever the device does; tracebacks are in the daemon's log",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(why)


def why(connection_id: IdArgument, socket: SocketOption = None, *, as_json: JsonOption = False) -> None:
    """Explain one connection: what happened last, which layer failed, what happens next and when."""
    found = ask(socket, "GET", path_of(connection_id))
    if as_json:
        print_json(found)
        return
    for line in explanation(found):
        typer.echo(plain(line))


def explanation(found: dict[str, Any]) -> list[str]:
    """The connection in lines for people."""
    since = duration(time.time() - found["since"])
    name = f"{found['name']}, " if found["name"] != found["connection_id"] else ""
    who = f"{found['connection_id']} ({name}{found['connection_type']})"
    lines = [f"{who}: {MARKS[found['status']]} {found['status']} for {since}", f"  now      {found['outlook']}"]
    if found["suspended_because"]:
        lines.append(f"  because  {found['suspended_because']}")
    failed = next((event for event in reversed(found["events"]) if event["layer"]), None)
    if failed is not None and found["status"] != "connected":
        lines.append(f"  layer    {failed['layer']}: {LAYERS.get(failed['layer'], '')}")
    if found["stuck"]:
        lines.append(
            f"  stuck    {found['stuck']}() was given up and has not returned; nothing else is called until then"
        )
    if found["bugs"]:
        lines.append(f"  bugs     the plugin failed {found['bugs']} times in a way no device explains")
    lines.append(f"  attempts {found['reconnect_attempts']} failed since it was last stable")
    quality = found["quality"]
    if quality and quality["rtt_p50"] is not None:
        lines.append(
            f"  link     round trip {milliseconds(quality['rtt_p50'])} (p99 {milliseconds(quality['rtt_p99'])}),"
            f" up {quality['availability']:.1%} of the time, lost {quality['flaps_per_hour']} times within the hour"
        )
    lines.append("  last events")
    for event in found["events"][-10:]:
        reason = f"  {event['reason']}" if event["reason"] else ""
        lines.append(f"    {clock(event['at'])}  {event['event']:<20}{reason}")
    return lines
