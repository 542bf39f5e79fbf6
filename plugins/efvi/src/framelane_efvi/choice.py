"""Which interface the settings mean."""

from __future__ import annotations

from collections.abc import Sequence

from framelane_efvi.adapters import Adapter

__all__ = ["choose_interface", "vlan_interface"]


def choose_interface(name: str | None, driven: Sequence[Adapter]) -> Adapter | None:
    """Return the adapter of this name; without a name the only one there is."""
    if name is None:
        return driven[0] if len(driven) == 1 else None
    return next((one for one in driven if one.interface == name), None)


def vlan_interface(interface: str, vlan: int) -> tuple[int, str] | None:
    """Return index and name of the VLAN interface with this tag on top of an interface, in this network namespace."""
    from pyroute2 import IPRoute  # slow to import

    with IPRoute() as netlink:
        links = list(netlink.get_links())
    below = next((link["index"] for link in links if link.get_attr("IFLA_IFNAME") == interface), None)
    for link in links:
        info = link.get_attr("IFLA_LINKINFO")
        is_vlan = info is not None and info.get_attr("IFLA_INFO_KIND") == "vlan"
        if not is_vlan or below is None or link.get_attr("IFLA_LINK") != below:
            continue
        if info.get_attr("IFLA_INFO_DATA").get_attr("IFLA_VLAN_ID") == vlan:
            return link["index"], link.get_attr("IFLA_IFNAME")
    return None
