"""What happens in the demo: one device after another goes away and comes back, until every status has been seen."""

from connmgr.cli.demo_devices import Device
from connmgr.cli.demo_stage import Stage

CALM = 4.0  # seconds in which nothing happens, so that one can look around
PROBED = 20.0  # seconds until the probe of a suspended connection has certainly found the device


def play(stage: Stage) -> None:
    """The whole demo, over and over."""
    count = len(stage.devices)
    stage.say(
        f"Starting {count} simulated device{'s' if count != 1 else ''}, then the daemon",
        "Each device is a process of its own: a real server on a real port.",
    )
    stage.open()
    stage.until(lambda: all(stage.status(device.connection_id) == "connected" for device in stage.devices), 15)
    while True:
        _round(stage)


def _round(stage: Stage) -> None:
    if not stage.devices:
        stage.say("Nothing in this configuration can be simulated here; the daemon runs, watch it")
        stage.pause(3600)
        return
    stage.say("Everything is connected", "A small question now and then proves each link alive. Now some trouble.")
    stage.pause(CALM)
    first, *others = stage.devices
    _outage(stage, first)
    for device in others[:-1]:
        _short_outage(stage, device)
    if others and not others[-1].is_cable:
        _freeze(stage, others[-1])
    elif others:
        _short_outage(stage, others[-1])
    _commands(stage, stage.devices[-2:][0])


def _outage(stage: Stage, device: Device) -> None:
    """Away for so long that connmgr stops trying."""
    name = device.connection_id
    stage.say(
        f"Taking {device.noun} away: watch {name} go error → suspended",
        "Its attempts get rarer; after the last one it only probes now and then.",
    )
    device.child.ask_to_end()
    stage.until(lambda: stage.status(name) == "suspended", 40)
    stage.pause(2)
    stage.say(f"{_capital(device.noun)} is back: the next probe of {name} finds it", "Nobody has to do anything.")
    _bring_back(stage, device, PROBED)


def _short_outage(stage: Stage, device: Device) -> None:
    name = device.connection_id
    doing = "Unplugging" if device.is_cable else "Taking"
    away = "" if device.is_cable else " away"
    stage.say(
        f"{doing} {device.noun}{away} for a moment: watch {name}", "It says what is wrong, and when it tries next."
    )
    device.child.ask_to_end()
    stage.until(lambda: stage.status(name) in ("error", "suspended"), 10)
    stage.pause(2)
    stage.say(f"{_capital(device.noun)} is back: the next attempt of {name} succeeds")
    _bring_back(stage, device, PROBED)


def _freeze(stage: Stage, device: Device) -> None:
    """The port stays open and nothing answers: what a crashed device looks like from outside."""
    name = device.connection_id
    stage.say(
        f"Freezing {device.noun}, port open, no answers: watch {name}",
        "Only a health check notices; the next attempt hangs until its deadline.",
    )
    device.child.freeze()
    stage.until(lambda: stage.status(name) in ("error", "suspended"), 15)
    stage.until(lambda: stage.status(name) == "connecting", 5)
    stage.pause(3)
    stage.say(f"{_capital(device.noun)} works again")
    device.child.thaw()
    stage.until(lambda: stage.status(name) == "connected", PROBED)
    stage.pause(CALM / 2)


def _bring_back(stage: Stage, device: Device, at_most: float) -> None:
    stage.until(lambda: not device.child.is_running, 5)
    device.child.start()
    stage.until(lambda: stage.status(device.connection_id) == "connected", at_most)
    stage.pause(CALM / 2)


def _commands(stage: Stage, device: Device) -> None:
    """What a person may say."""
    name = device.connection_id
    for verb, status, meaning in (
        ("suspend", "suspended", "Somebody works on the device: hands off until `resume`."),
        ("resume", "connected", ""),
        ("disconnect", "disconnected", "Closed on purpose, until `connect`."),
        ("connect", "connected", ""),
    ):
        stage.say(f"You can step in: connmgr {verb} {name}", meaning)
        stage.command(name, verb)
        stage.until(lambda status=status: stage.status(name) == status, 10)  # type: ignore[misc]  # bound for the loop
        stage.pause(2)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
