"""What stops a measurement."""


class Failure(Exception):
    """Something that stops the measurement, in words for whoever runs it."""


class Missing(Failure):
    """Tools are missing; the message says which, and how to get them."""
