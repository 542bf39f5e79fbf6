"""The conformance kit of frame transports.

A plugin's test class derives from :class:`BaseTransportConformance` and overrides one fixture::

    class TestMyTransport(BaseTransportConformance):
        @pytest.fixture
        def transport_pair(self):
            pair = TransportPair(near=Station(open_transport(spec)), far=Station(open_transport(spec)), ...)
            yield pair
            pair.close()

What the transport cannot do it does not declare in its capabilities; then the case checks that it says so.
"""

from framelane.testing.conformance.addresses import BaseAddresses
from framelane.testing.conformance.capabilities import BaseCapabilities
from framelane.testing.conformance.datagrams import BaseDatagrams
from framelane.testing.conformance.lifecycle import BaseLifecycle
from framelane.testing.conformance.pair import BaseConformance, Family, Link, TransportPair
from framelane.testing.conformance.receiving import BaseReceiving
from framelane.testing.conformance.sending import BaseSending

__all__ = [
    "BaseAddresses",
    "BaseCapabilities",
    "BaseConformance",
    "BaseDatagrams",
    "BaseLifecycle",
    "BaseReceiving",
    "BaseSending",
    "BaseTransportConformance",
    "Family",
    "Link",
    "TransportPair",
]


class BaseTransportConformance(
    BaseDatagrams, BaseSending, BaseReceiving, BaseAddresses, BaseCapabilities, BaseLifecycle
):
    """The whole kit."""
