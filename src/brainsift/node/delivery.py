"""How a delivery fails."""


class DeliveryError(Exception):
    """An attempt to deliver, or to ask another machine, that failed.

    Args:
        words: why, without anything that the other machine says in words: that may quote a patient.
        permanent: whether trying again is of no use.
    """

    def __init__(self, words: str, *, permanent: bool) -> None:
        super().__init__(words)
        self.words, self.permanent = words, permanent
