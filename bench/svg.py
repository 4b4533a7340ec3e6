"""Two plots as SVG, with nothing but the standard library: grouped bars and lines."""
from html import escape

COLOURS = ["#8a8f98", "#1f6feb", "#e07b00", "#2da44e", "#bf3989"]
TEXT, GRID = "#57606a", "#d0d7de"
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 60, 60


def ticks(top, count=5):
    """Round numbers from 0 to at least `top`."""
    if top <= 0:
        return [0, 1]
    rough = top / count
    power = 10 ** len(str(int(rough))) / 10 if rough >= 1 else 10 ** -next(i for i in range(1, 20) if rough * 10**i >= 1)
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    return [i * step for i in range(int(top / step + 0.999999) + 1)]


def number(value):
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


class _Canvas:
    def __init__(self, width, height, title, y_title, top, names):
        self.width, self.height = width, height
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
                      f'height="{height}" font-family="sans-serif" font-size="12">',
                      f'<rect width="{width}" height="{height}" fill="white"/>']
        self.text(LEFT, 22, title, size=15, colour="#1f2328")
        self.scale = ticks(top)
        for value in self.scale:
            self.line(LEFT, self.y(value), width - RIGHT, self.y(value), GRID)
            self.text(LEFT - 8, self.y(value) + 4, number(value), anchor="end")
        self.text(14, TOP - 12, y_title)
        x = width - RIGHT
        for index, name in reversed(list(enumerate(names))):
            x -= 8 * len(name) + 24
            self.rect(x, TOP - 24, 12, 12, COLOURS[index % len(COLOURS)])
            self.text(x + 16, TOP - 14, name)

    def y(self, value):
        return self.height - BOTTOM - value / self.scale[-1] * (self.height - TOP - BOTTOM)

    def text(self, x, y, text, *, anchor="start", size=12, colour=TEXT, turn=0):
        turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"{turned}>'
                          f'{escape(text)}</text>')

    def line(self, x1, y1, x2, y2, colour, width=1):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                          f'stroke-width="{width}"/>')

    def rect(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def done(self):
        return "\n".join(self.parts + ["</svg>"]) + "\n"


def bars(title, y_title, groups, series, reference=None):
    """Grouped bars. groups: names along x; series: {name: [value per group, None where there is none]}; reference: a
    value to draw a line at."""
    per_group = max(14 * len(series) + 16, 56, 400 / len(groups))
    top = max([value for values in series.values() for value in values if value is not None] + [reference or 0])
    canvas = _Canvas(round(LEFT + RIGHT + per_group * len(groups)), 360, title, y_title, top, list(series))
    for g, group in enumerate(groups):
        left = LEFT + (g + 0.5) * per_group - 7 * len(series)
        for s, values in enumerate(series.values()):
            if values[g] is not None:
                y = canvas.y(values[g])
                canvas.rect(left + s * 14, y, 12, canvas.y(0) - y, COLOURS[s % len(COLOURS)])
        canvas.text(left + 7 * len(series), canvas.y(0) + 14, group, anchor="end", turn=-30)
    if reference is not None:
        canvas.line(LEFT, canvas.y(reference), canvas.width - RIGHT, canvas.y(reference), "#cf222e", 1.5)
    return canvas.done()


def lines(title, x_title, y_title, series):
    """Lines. series: {name: [(x, y), …]}, x from 0."""
    points = [point for values in series.values() for point in values]
    top = max([y for _, y in points] + [0])
    canvas = _Canvas(900, 380, title, y_title, top, list(series))
    x_scale = ticks(max([x for x, _ in points] + [0]), 10)

    def x_of(x):
        return LEFT + x / x_scale[-1] * (canvas.width - LEFT - RIGHT)

    for value in x_scale:
        canvas.text(x_of(value), canvas.y(0) + 18, number(value), anchor="middle")
    canvas.text((LEFT + canvas.width - RIGHT) / 2, canvas.height - 16, x_title, anchor="middle")
    for index, values in enumerate(series.values()):
        path = " ".join(f"{x_of(x):.1f},{canvas.y(y):.1f}" for x, y in values)
        canvas.parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[index % len(COLOURS)]}" '
                            'stroke-width="1.5"/>')
    return canvas.done()
