"""`squeezebert-edge devices`: where bundles can be measured from here."""

from __future__ import annotations

from dataclasses import asdict

from squeezebert_edge.cli import options, show


def devices(json: options.JsonOption = False) -> None:
    """List the devices that --device can name now, what each runs with each --runner, and what they need."""
    from squeezebert_edge.devices import list_devices

    found = list_devices()
    if json:
        show.as_json({"devices": [asdict(listing) for listing in found]})
        return
    show.table(
        "",
        ["--device", "--runner", "name", "runs", "needs"],
        [
            [
                listing.device,
                listing.runner or "-",
                listing.name or "-",
                ", ".join(listing.runs) or "-",
                listing.needs or "-",
            ]
            for listing in found
        ],
    )
