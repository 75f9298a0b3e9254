"""Kernels of networks for images, position by position in many digits (mpmath), written without the package."""

import itertools

import mpmath as mp


def relu(q1, q2, c):
    if q1 * q2 == 0:
        return mp.mpf(0), mp.mpf(1) / 4
    # By the sine, which 60 digits hold at the angles of the tests.
    sine = mp.sqrt(max(q1 * q2 - c * c, mp.mpf(0)))
    angle = mp.atan2(sine, c)
    return (sine + (mp.pi - angle) * c) / (2 * mp.pi), (mp.pi - angle) / (2 * mp.pi)


def leaky(slope):
    s = mp.mpf(slope)

    def dual(q1, q2, c):
        value, step = relu(q1, q2, c)
        both = s * (1 - s)
        return (1 - s) ** 2 * value + both * c + s**2 * c, (1 - s) ** 2 * step + both + s**2

    return dual


def erf(q1, q2, c):
    top = (1 + 2 * q1) * (1 + 2 * q2)
    return 2 / mp.pi * mp.asin(2 * c / mp.sqrt(top)), 4 / (mp.pi * mp.sqrt(top - 4 * c * c))


class Truth:
    """Two images (h, w, channels); blocks are {(i, j, k, m): (K, Θ)} of position (i, j) with position (k, m)."""

    def __init__(self, dual, w_std, b_std):
        self.dual, self.w, self.b = dual, mp.mpf(w_std) ** 2, mp.mpf(b_std) ** 2

    def start(self, one, other):
        h, v, channels = one.shape
        one, other = ([[[mp.mpf(float(x)) for x in y] for y in z] for z in image] for image in (one, other))
        block = {}
        for i, j, k, m in itertools.product(range(h), range(v), range(h), range(v)):
            total = mp.fsum(a * b for a, b in zip(one[i][j], other[k][m], strict=True))
            block[i, j, k, m] = total / channels, mp.mpf(0)
        return (h, v), block

    def convolve(self, image, strides=1):
        """3 x 3 filters padded with zeros as SAME does."""
        (h, v), block = image
        sides = -(-h // strides), -(-v // strides)
        first = [max(0, (new - 1) * strides + 3 - old) // 2 for old, new in zip((h, v), sides, strict=True)]
        zero, out = (mp.mpf(0), mp.mpf(0)), {}
        for i, j, k, m in itertools.product(*(range(side) for side in (*sides, *sides))):
            top, left, bottom, right = (p * strides - o for p, o in zip((i, j, k, m), (*first, *first), strict=True))
            found = [
                block.get((top + a, left + b, bottom + a, right + b), zero)
                for a, b in itertools.product(range(3), range(3))
            ]
            nngp = self.w * mp.fsum(pair[0] for pair in found) / 9 + self.b
            out[i, j, k, m] = nngp, nngp + self.w * mp.fsum(pair[1] for pair in found) / 9
        return sides, out

    def activate(self, images):
        """The images are (x, x), (x', x'), (x, x')."""
        sides, blocks = images[0][0], [block for _, block in images]
        found = [{}, {}, {}]
        for place in blocks[0]:
            i, j, k, m = place
            for number, (left, right) in enumerate(((0, 0), (1, 1), (0, 1))):
                q1, q2 = blocks[left][i, j, i, j][0], blocks[right][k, m, k, m][0]
                c, tangent = blocks[number][place]
                value, slope = self.dual(q1, q2, c)
                found[number][place] = value, slope * tangent
        return [(sides, block) for block in found]

    def readout(self, image, kind):
        (h, v), block = image
        if kind == "flatten":
            places = [(i, j, i, j) for i in range(h) for j in range(v)]
        elif kind == "global_average_pool":
            places = list(block)
        else:
            half = (h // 2, v // 2)
            places = [p for p in block if (p[0] // 2, p[1] // 2) == (p[2] // 2, p[3] // 2)]
            places = [p for p in places if p[0] // 2 < half[0] and p[1] // 2 < half[1]]
        nngp, tangent = (mp.fsum(block[p][n] for p in places) / len(places) for n in (0, 1))
        nngp = self.w * nngp + self.b
        return nngp, nngp + self.w * tangent

    def three(self, one, other):
        return [self.start(*pair) for pair in ((one, one), (other, other), (one, other))]

    def convolutional(self, one, other, depth, kind):
        images = self.three(one, other)
        for _ in range(depth):
            images = self.activate([self.convolve(image) for image in images])
        return [self.readout(image, kind) for image in images]

    def wide_residual(self, one, other, groups, kind):
        """One block in each group."""
        images = [self.convolve(image) for image in self.three(one, other)]
        for group in range(groups):
            strides = 1 if group == 0 else 2
            main = self.activate([self.convolve(image, strides) for image in self.activate(images)])
            pairs = zip([self.convolve(image) for image in main], images, strict=True)
            images = [_sum(new, self.convolve(old, strides)) for new, old in pairs]
        return [self.readout(image, kind) for image in images]


def _sum(one, other):
    return one[0], {place: (k + other[1][place][0], t + other[1][place][1]) for place, (k, t) in one[1].items()}
