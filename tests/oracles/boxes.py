"""Components, boxes, IoU and box accuracies, in plain loops over pixels."""

from __future__ import annotations

from collections.abc import Sequence

Matrix = Sequence[Sequence[float]]
Pixel = tuple[int, int]  # row, column
Box = Sequence[float]  # x0, y0, x1, y1


def flood(pixels: set[Pixel], *, corners: bool) -> list[set[Pixel]]:
    """What hangs together, the piece with the first pixel, row by row, first."""
    left, pieces = set(pixels), []
    for start in sorted(pixels):
        if start not in left:
            continue
        piece, edge = set(), [start]
        left.discard(start)
        while edge:
            row, column = edge.pop()
            piece.add((row, column))
            for down in (-1, 0, 1):
                for across in (-1, 0, 1):
                    near = (row + down, column + across)
                    if near in left and (corners or 0 in (down, across)):
                        left.discard(near)
                        edge.append(near)
        pieces.append(piece)
    return pieces


def above(map_: Matrix, level: float) -> set[Pixel]:
    return {(y, x) for y, row in enumerate(map_) for x, value in enumerate(row) if value > level}


def pieces(map_: Matrix, threshold: float) -> list[set[Pixel]]:
    """The components above a share of the maximum, the largest first."""
    largest = max(max(row) for row in map_)
    found = flood(above(map_, threshold * max(largest, 0)), corners=True)
    return sorted(found, key=len, reverse=True)  # stable


def box(piece: set[Pixel]) -> list[float]:
    rows, columns = [y for y, _ in piece], [x for _, x in piece]
    return [min(columns), min(rows), max(columns) + 1, max(rows) + 1]


def boxes(map_: Matrix, threshold: float) -> list[list[float]]:
    return [box(piece) for piece in pieces(map_, threshold)]


def outside(piece: set[Pixel]) -> set[Pixel]:
    """What can be reached from beyond the piece, along edges, in a frame one pixel wider."""
    x0, y0, x1, y1 = (int(side) for side in box(piece))
    frame = {(y, x) for y in range(y0 - 1, y1 + 1) for x in range(x0 - 1, x1 + 1)}
    return flood(frame - piece, corners=False)[0]


def filled_area(piece: set[Pixel]) -> int:
    x0, y0, x1, y1 = (int(side) for side in box(piece))
    return (x1 - x0 + 2) * (y1 - y0 + 2) - len(outside(piece))


def iou_of_pixels(one: Box, other: Box) -> float:
    """Whole boxes, half-open: count the pixels that are in both, and those in either."""
    cells = [
        {(y, x) for y in range(int(b[1]), int(b[3])) for x in range(int(b[0]), int(b[2]))}
        for b in (one, other)
    ]
    either = len(cells[0] | cells[1])
    return len(cells[0] & cells[1]) / either if either else 0.0


def best_overlap(map_: Matrix, truth: Sequence[Box], threshold: float, which: str) -> float:
    """The largest IoU of a found box with a true one; only the largest component's, or all."""
    found = boxes(map_, threshold)
    found = found[:1] if which == "largest" else found
    return max((iou_of_pixels(one, other) for one in found for other in truth), default=0.0)


def max_box_acc(
    maps: Sequence[Matrix],
    truths: Sequence[Sequence[Box]],
    thresholds: Sequence[float],
    ious: Sequence[float],
    which: str,
) -> float:
    """For each IoU the best threshold's share of right boxes; then their mean."""
    best = []
    for iou in ious:
        rates = []
        for threshold in thresholds:
            right = 0
            for map_, truth in zip(maps, truths, strict=True):
                right += best_overlap(map_, truth, threshold, which) >= iou
            rates.append(right / len(maps))
        best.append(max(rates))
    return sum(best) / len(best)


def corner_cut_area(piece: set[Pixel]) -> float:
    """The area of the outline through the centres of the pixels of a piece, its holes filled.

    The centres are corners of squares: one with all four corners inside counts 1, one with three
    of them one half.
    """
    x0, y0, x1, y1 = (int(side) for side in box(piece))
    beyond = outside(piece)
    area = 0.0
    for y in range(y0, y1 - 1):
        for x in range(x0, x1 - 1):
            corners = {(y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)}
            area += {4: 1.0, 3: 0.5}.get(len(corners - beyond), 0.0)
    return area


def choe_boxes(map_: Matrix, threshold: float) -> tuple[list[float], list[list[float]]]:
    """Choe et al.'s: the box of the largest outline, and those of all outlines."""
    values = [value for row in map_ for value in row]
    low, high = min(values), max(values)
    height, width = len(map_), len(map_[0])
    span = high - low
    image = [[int(255 * ((v - low) / span)) if span else 0 for v in row] for row in map_]
    level = int(threshold * max(map(max, image)))
    kept = above(image, level)
    if not kept:
        return [0, 0, 0, 0], [[0, 0, 0, 0]]
    found = flood(kept, corners=True)
    largest = max(reversed(found), key=corner_cut_area)  # of equal ones the last
    frame = {(y, x) for y in range(-1, height + 1) for x in range(-1, width + 1)}
    holes = [hole for hole in flood(frame - kept, corners=False) if (-1, -1) not in hole]
    every = [box(piece) for piece in found]
    every += [[a - 1, b - 1, c + 1, d + 1] for a, b, c, d in map(box, holes)]

    def theirs(found_box: Sequence[float]) -> list[float]:
        x0, y0, x1, y1 = found_box
        return [x0, y0, min(x1, width - 1), min(y1, height - 1)]

    return theirs(box(largest)), [theirs(each) for each in every]


def choe_iou(one: Box, other: Box) -> float:
    """Both ends count."""
    a, b = ([*each[:2], each[2] + 1, each[3] + 1] for each in (one, other))
    return iou_of_pixels(a, b)


def share_in_boxes(map_: Matrix, truth: Sequence[Box]) -> float:
    """Positive evidence in pixels whose centre is in a box, over all of it."""
    inside = everywhere = 0.0
    for y, row in enumerate(map_):
        for x, value in enumerate(row):
            here = any(a <= x + 0.5 < c and b <= y + 0.5 < d for a, b, c, d in truth)
            everywhere += max(value, 0)
            inside += max(value, 0) * here
    return inside / everywhere if everywhere else 0.0


def pixel_average_precision(
    maps: Sequence[Matrix], masks: Sequence[Sequence[Sequence[int]]], thresholds: Sequence[float]
) -> float:
    """From the highest threshold to the lowest: precision times what recall has gained."""
    pixels: list[tuple[float, int]] = []
    for map_, mask in zip(maps, masks, strict=True):
        values = [value for row in map_ for value in row]
        low, span = min(values), max(values) - min(values)
        truth = [value for row in mask for value in row]
        scores = [(value - low) / span if span else 0.0 for value in values]
        pixels += [pair for pair in zip(scores, truth, strict=True) if pair[1] != 255]
    total = sum(truth for _, truth in pixels)
    area = recall = 0.0
    for threshold in sorted({*thresholds, 1.0}, reverse=True):
        taken = [truth for score, truth in pixels if score >= threshold]
        if taken:
            precision, before, recall = sum(taken) / len(taken), recall, sum(taken) / total
            area += precision * (recall - before)
    return area
