"""The values of a pass that every way from the input to the logits goes through."""

from __future__ import annotations

from seewhy.observe import Trace


def cuts(trace: Trace, logits: int) -> list[int]:
    """The numbers of all values without which the logits would not depend on the input, in order.

    Values are numbered as they are made. So a value is a cut exactly if none that is older is
    still read after it was made.
    """
    leading = (trace.leading_to(logits) | {logits}) & trace.from_input
    last_read = dict.fromkeys(leading, 0)
    for number in leading:
        operation = trace.producers[number]
        for source in operation.inputs() if operation else ():
            if source in leading:
                last_read[source] = max(last_read[source], number)
    found = []
    read_until = max((n for n in leading if trace.producers[n] is None), default=0)
    for number in sorted(leading):
        if read_until <= number:
            found.append(number)
        read_until = max(read_until, last_read[number])
    return found
