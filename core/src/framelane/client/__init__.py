"""The client: publications, subscriptions and counters of a driver, ours or a stock one."""

from framelane.client.assembler import FragmentAssembler
from framelane.client.client import Client
from framelane.client.counter import Counter
from framelane.client.errors import (
    ClientClosed,
    ClientError,
    ClientTimeout,
    DriverTimeout,
    OfferError,
    OfferTimeout,
    RegistrationError,
)
from framelane.client.image import Image
from framelane.client.publication import BufferClaim, ExclusivePublication, Publication
from framelane.client.subscription import Action, Batch, Header, Subscription

__all__ = [
    "Action",
    "Batch",
    "BufferClaim",
    "Client",
    "ClientClosed",
    "ClientError",
    "ClientTimeout",
    "Counter",
    "DriverTimeout",
    "ExclusivePublication",
    "FragmentAssembler",
    "Header",
    "Image",
    "OfferError",
    "OfferTimeout",
    "Publication",
    "RegistrationError",
    "Subscription",
]
