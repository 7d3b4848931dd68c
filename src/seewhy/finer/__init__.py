"""Finer maps from the same weights: dilation, shifted pictures, mirrored and resized ones.

Every one of these shows the network several views of a picture. Each view is explained like any
picture, with a certificate of its own; then the maps are put together and the logits averaged, so
that the finer map adds up to the mean of the views' logits.

`windows` reads operations that stride; `plan` finds those that must be split; `dilate` and `shift`
run the views; `grids` puts maps together; `average` does all of this for `explain`.
"""
