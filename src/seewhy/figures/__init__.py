"""The figure: a grid of pictures, each beside the evidence for what the model decided about it.

`make` chooses and explains, with torch; `figure`, `draw` and `save` show the result, without.
"""
