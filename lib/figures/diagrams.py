"""Drawings of the networks, from the same few strokes: boxes, circles, arrows."""

from matplotlib import pyplot as plt
from matplotlib.patches import Circle, FancyBboxPatch

INK, QUIET, FILL = "#222222", "#5F5F5F", "#F2F4F7"


def canvas(width, height, scale=0.62):
    """An empty figure whose axes run from 0 to `width` and 0 to `height` in equal units of `scale` inches."""
    fig, ax = plt.subplots(figsize=(width * scale, height * scale))
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    return fig, ax


def box(ax, x, y, text, width=1.5, height=0.7, color=FILL, edge=INK, size=10):
    """A rounded box with text, centred at (x, y)."""
    corner = (x - width / 2 + 0.08, y - height / 2 + 0.08)
    style = "round,pad=0.08,rounding_size=0.12"
    size_inside = (width - 0.16, height - 0.16)
    ax.add_patch(FancyBboxPatch(corner, *size_inside, boxstyle=style, fc=color, ec=edge, lw=1.2, zorder=3))
    ax.text(x, y, text, ha="center", va="center", fontsize=size, color=INK, zorder=4)


def circle(ax, x, y, text, color="white", radius=0.27, size=11):
    """A small circle for an operation on two values of equal shape."""
    ax.add_patch(Circle((x, y), radius, fc=color, ec=INK, lw=1.2, zorder=3))
    ax.text(x, y, text, ha="center", va="center", fontsize=size, zorder=4)


def arrow(ax, start, end, color=INK, width=1.3, style="-|>", bend=0.0):
    """An arrow from point to point; `bend` curves it."""
    options = {"arrowstyle": style, "color": color, "lw": width, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 11}
    ax.annotate("", end, start, arrowprops=options | {"connectionstyle": f"arc3,rad={bend}"}, zorder=2)


def path(ax, *points, color=INK, width=1.3, head=True):
    """A line along points; the last stretch ends in an arrow head."""
    for first, second in zip(points[:-2], points[1:-1], strict=True):
        ax.plot(*zip(first, second, strict=True), color=color, lw=width, solid_capstyle="round", zorder=2)
    arrow(ax, points[-2], points[-1], color, width, "-|>" if head else "-")


def recurrent_chain(steps=5, cell="tanh", color=FILL):
    """A recurrent network rolled out in time, with the loss at the last step only."""
    fig, ax = canvas(2.2 * steps + 2.4, 4.4)
    for t in range(steps):
        x = 2.2 * t + 2.0
        last = t == steps - 1
        name = "T-1" if last else str(t + 1)
        box(ax, x, 2.1, cell, color=color)
        ax.text(x, 0.35, rf"$x_{{{name}}}$", ha="center", va="center", fontsize=12)
        arrow(ax, (x, 0.65), (x, 1.72))
        arrow(ax, (x - 1.42, 2.1), (x - 0.77, 2.1))
        label = r"$h_0=0$" if t == 0 else rf"$h_{{{t}}}$"
        ax.text(x - 1.12, 2.42, label, ha="center", va="bottom", fontsize=10)
    end = 2.2 * (steps - 1) + 2.0
    ax.text(2.12, 1.15, r"$W_{hx}$", fontsize=9, color=QUIET)
    ax.text(0.66, 1.62, r"$W_{hh}$", fontsize=9, color=QUIET)
    path(ax, (end, 2.5), (end, 3.25), head=True)
    box(ax, end, 3.6, r"$p=W_{ph}h_{T-1}+b_p$", width=2.6)
    arrow(ax, (end - 1.32, 3.6), (end - 2.1, 3.6))
    ax.text(end - 2.2, 3.6, r"loss $\mathcal{L}(p, x_T)$", ha="right", va="center", fontsize=11)
    return fig


def lstm_cell():
    """One step of the LSTM: the cell path on top, the four gates below it, in the order of the formulas."""
    fig, ax = canvas(12.4, 6.4)
    ax.add_patch(FancyBboxPatch((1.5, 1.0), 9.2, 4.9, boxstyle="round,pad=0.1", fc="#FBFBFD", ec=QUIET, lw=1, zorder=0))
    top, low = 5.2, 2.2
    gates = {
        "f": (3.0, "σ", "forget", "#D6E6F2"),
        "i": (4.9, "σ", "input", "#F9E3C3"),
        "g": (6.3, "tanh", "candidate", FILL),
        "o": (8.0, "σ", "output", "#CDEBE0"),
    }
    for name, (x, kind, meaning, color) in gates.items():
        box(ax, x, low, kind, width=1.1, color=color)
        side = -1 if name == "o" else 1
        ax.text(x + 0.12 * side, low + 0.6, f"${name}_t$", fontsize=11, ha="left" if side > 0 else "right", va="center")
        ax.text(x, low - 0.56, meaning, fontsize=8, ha="center", va="center", color=INK)
        arrow(ax, (x, 1.28), (x, low - 0.72), color=QUIET, width=1.0, style="-")
    ax.plot([1.0, 8.0], [1.28, 1.28], color=QUIET, lw=1.3, zorder=1)  # x_t and h_{t-1} reach all four gates
    ax.text(0.48, 1.28, r"$h_{t-1}$", ha="center", va="center", fontsize=12)
    ax.text(2.0, 0.3, r"$x_t$", ha="center", va="center", fontsize=12)
    path(ax, (2.0, 0.55), (2.0, 1.28), color=QUIET)
    ax.text(0.45, top, r"$c_{t-1}$", ha="center", va="center", fontsize=12)
    arrow(ax, (0.75, top), (2.72, top), color="#0072B2", width=2.4)
    circle(ax, 3.0, top, "⊙")
    arrow(ax, (3.28, top), (5.32, top), color="#0072B2", width=2.4)
    circle(ax, 5.6, top, "+")
    arrow(ax, (5.88, top), (11.5, top), color="#0072B2", width=2.4)
    ax.text(11.9, top, r"$c_t$", ha="center", va="center", fontsize=12)
    arrow(ax, (3.0, low + 0.37), (3.0, top - 0.3))
    circle(ax, 5.6, 3.7, "⊙")
    path(ax, (4.9, low + 0.37), (4.9, 3.7), (5.3, 3.7))
    path(ax, (6.3, low + 0.37), (6.3, 3.7), (5.9, 3.7))
    arrow(ax, (5.6, 4.0), (5.6, top - 0.3))
    box(ax, 9.4, 4.2, "tanh", width=1.1)
    path(ax, (9.4, top), (9.4, 4.58))
    circle(ax, 9.4, 2.9, "⊙")
    arrow(ax, (9.4, 3.83), (9.4, 3.2))
    path(ax, (8.0, low + 0.37), (8.0, 2.9), (9.1, 2.9))
    path(ax, (9.4, 2.6), (9.4, 1.6), (11.5, 1.6))
    ax.text(11.9, 1.6, r"$h_t$", ha="center", va="center", fontsize=12)
    ax.text(6.8, top + 0.35, "cell path: only ⊙ and +", fontsize=8.5, color="#0072B2", ha="left")
    return fig


def unet(model, height, width):
    """A U-Net drawn from its own lists: every stage with the shape it hands on and its number of parameters.

    Args:
        model: has `c_in`, `c_out`, `c_list`, `spatial_factor_list`, `num_block_list` and, as modules or lists of them,
            `stem`, `encoder`, `down`, `bottom`, `up`, `merge`, `decoder`, `head` (see `lib.models.UNet`).
        height, width: of the picture that goes in, in cells.
    """
    levels = len(model.c_list)
    fig, ax = canvas(19, 2.6 * levels + 1.6, scale=0.4)
    top = 2.6 * levels + 0.4
    indent = min(0.9, 2.0 / max(1, levels - 1))  # how far a level moves towards the middle
    factors = [1]
    for factor in model.spatial_factor_list:
        factors.append(factors[-1] * factor)

    def stage(x, y, name, channels, factor, module, color=FILL, wide=3.2):
        count = sum(parameter.numel() for parameter in module.parameters())
        box(ax, x, y, "", width=wide, height=1.35, color=color)
        ax.text(x, y + 0.32, name, ha="center", va="center", fontsize=8.5, zorder=4)
        shape = f"{channels} × {height // factor} × {width // factor}"
        ax.text(x, y - 0.05, shape, ha="center", va="center", fontsize=8.5, fontweight="bold", zorder=4)
        ax.text(x, y - 0.4, f"{count:,} parameters", ha="center", va="center", fontsize=7, color=QUIET, zorder=4)

    def blocks(number):
        return f"{number} ConvNeXt block{'s' if number != 1 else ''}" if number else "no block"

    left, right = 4.85, 14.15
    for level in range(levels - 1):
        y, dx = top - 2.6 * level - 1.0, indent * level
        color = "#DCE9F5"
        stage(
            left + dx,
            y,
            blocks(model.num_block_list[level]),
            model.c_list[level],
            factors[level],
            model.encoder[level],
            color,
        )
        stage(
            right - dx,
            y,
            blocks(model.num_block_list[level]),
            model.c_list[level],
            factors[level],
            model.decoder[level],
            "#FBE3D3",
        )
        path(ax, (left + dx + 1.65, y), (right - dx - 1.65, y), color=QUIET)
        merge = sum(parameter.numel() for parameter in model.merge[level].parameters())
        text = f"join, 1 × 1 conv.\n{2 * model.c_list[level]} → {model.c_list[level]} ({merge:,})"
        ax.text(9.5, y + 0.1, text, ha="center", va="bottom", fontsize=7, color=QUIET, linespacing=1.1)
        below = (left + dx + indent, y - 2.6 + 0.7) if level < levels - 2 else (9.5 - 1.2, y - 2.6 + 0.7)
        back = (right - dx - indent, y - 2.6 + 0.7) if level < levels - 2 else (9.5 + 1.2, y - 2.6 + 0.7)
        arrow(ax, (left + dx, y - 0.7), below, color="#0072B2")
        arrow(ax, back, (right - dx, y - 0.7), color="#D55E00")
        factor = model.spatial_factor_list[level]
        for place, text, module in (
            (left + dx - 0.35, f"convolution {factor} × {factor},\nstride {factor}", model.down[level]),
            (right - dx + 0.35, f"transposed {factor} × {factor},\nstride {factor}", model.up[level]),
        ):
            count = sum(parameter.numel() for parameter in module.parameters())
            ax.text(place, y - 1.3, f"{text} ({count:,})", fontsize=7, color=QUIET, va="center",
                    ha="right" if place < 9.5 else "left")  # fmt: skip
    y = top - 2.6 * (levels - 1) - 1.0
    stage(9.5, y, blocks(model.num_block_list[-1]), model.c_list[-1], factors[-1], model.bottom, "#E8E8E8")
    y = top - 1.0
    if levels == 1:
        left = right = 9.5
    stage(1.5, y, "3 × 3 conv.", model.c_list[0], 1, model.stem, wide=2.9)
    stage(17.5, y, "3 × 3 conv.", model.c_out, 1, model.head, wide=2.9)
    arrow(ax, (2.97, y), (left - 1.65, y))
    arrow(ax, (right + 1.65, y), (16.03, y))
    arrow(ax, (1.5, y + 1.45), (1.5, y + 0.7))
    ax.text(1.75, y + 1.2, f"in: {model.c_in} × {height} × {width}", fontsize=8.5, va="center")
    arrow(ax, (17.5, y + 0.7), (17.5, y + 1.45))
    ax.text(17.25, y + 1.2, f"out: {model.c_out} × {height} × {width}", fontsize=8.5, va="center", ha="right")
    total = sum(parameter.numel() for parameter in model.parameters())
    ax.text(9.5, top + 0.35, f"{total:,} parameters in all", ha="center", va="center", fontsize=9)
    return fig


def conv_lstm_cell():
    """The ConvLSTM cell: the LSTM's gates computed by one convolution over the input and the hidden pictures."""
    fig, ax = canvas(13.2, 5.6, scale=0.53)
    ax.add_patch(FancyBboxPatch((2.0, 0.95), 9.3, 4.1, boxstyle="round,pad=0.1", fc="#FAFBFC", ec=QUIET, lw=1))
    box(ax, 3.3, 2.0, "convolution\n" + r"$k\times k$", width=2.0, height=1.1, color="#DCE9F5", size=9)
    names = [("$i$", r"$\sigma$"), ("$f$", r"$\sigma$"), ("$g$", "tanh"), ("$o$", r"$\sigma$")]
    places = {}
    for number, (gate, function) in enumerate(names):
        x = 5.5 + 1.45 * number
        places[number] = x
        box(ax, x, 2.0, function, width=1.0, height=0.6, size=9.5)
        ax.text(x + 0.12, 2.55, gate, fontsize=10.5, va="center")
    path(ax, (4.3, 2.0), (4.65, 2.0), (4.65, 1.35), (places[3], 1.35), head=False)
    for x in places.values():
        arrow(ax, (x, 1.35), (x, 1.7))
    ax.text(7.6, 1.13, "4 H channels, one quarter for each gate", fontsize=7.5, color=QUIET, ha="center", va="center")
    circle(ax, places[1], 4.3, r"$\odot$")
    circle(ax, 7.7, 4.3, "+")
    circle(ax, 7.7, 3.3, r"$\odot$")
    circle(ax, places[3], 3.3, r"$\odot$")
    box(ax, places[3], 4.3, "tanh", width=0.9, height=0.5, size=9)
    arrow(ax, (0.95, 4.3), (places[1] - 0.27, 4.3))
    arrow(ax, (places[1] + 0.27, 4.3), (7.43, 4.3))
    path(ax, (7.97, 4.3), (9.0, 4.3), head=False)
    arrow(ax, (9.0, 4.3), (places[3] - 0.45, 4.3))
    path(ax, (9.0, 4.3), (9.0, 4.75), (12.6, 4.75))
    arrow(ax, (places[1], 2.3), (places[1], 4.03))
    path(ax, (places[0], 2.3), (places[0], 3.3), (7.43, 3.3))
    path(ax, (places[2], 2.3), (places[2], 2.8), (7.7, 2.8), (7.7, 3.03))
    arrow(ax, (7.7, 3.57), (7.7, 4.03))
    arrow(ax, (places[3], 2.3), (places[3], 3.03))
    arrow(ax, (places[3], 4.05), (places[3], 3.57))
    arrow(ax, (places[3] + 0.27, 3.3), (12.6, 3.3))
    arrow(ax, (0.95, 2.25), (2.28, 2.25))
    path(ax, (3.3, 0.35), (3.3, 1.43))
    for x, y, text in (
        (0.5, 4.3, "$c_{t-1}$"),
        (0.5, 2.25, "$h_{t-1}$"),
        (12.85, 4.75, "$c_t$"),
        (12.85, 3.3, "$h_t$"),
    ):
        ax.text(x, y, text, ha="center", va="center", fontsize=11)
    ax.text(3.3, 0.15, "$x_t$ (one frame)", ha="center", va="center", fontsize=10)
    return fig


def teacher_forcing():
    """A recurrent forecaster around the end of the true frames: teacher forcing, then the closed loop."""
    fig, ax = canvas(15.5, 3.3, scale=0.48)
    labels = ["u^{78}", "u^{79}", "u^{80}", r"\hat u^{81}", r"\hat u^{82}", r"\hat u^{83}"]
    for number, label in enumerate(labels):
        x, closed = 1.7 + 2.4 * number, number > 2
        box(ax, x, 1.75, "cell", width=1.2, color="#FBE3D3" if closed else "#DCE9F5")
        arrow(ax, (x, 0.65), (x, 1.4))
        arrow(ax, (x, 2.1), (x, 2.7))
        ax.text(x, 0.4, f"${label}$", ha="center", va="center", fontsize=11)
        ax.text(x + 0.1, 2.95, rf"$\hat u^{{{79 + number}}}$", ha="center", va="center", fontsize=11)
        if number < 5:
            arrow(ax, (x + 0.62, 1.75), (x + 1.78, 1.75))
        if 2 <= number < 5:
            path(ax, (x + 0.5, 2.95), (x + 1.2, 2.95), (x + 1.2, 0.4), (x + 1.95, 0.4), color="#D55E00")
    arrow(ax, (0.2, 1.75), (1.08, 1.75))
    arrow(ax, (14.32, 1.75), (15.2, 1.75))
    return fig


def roll_out(steps=4):
    """A network that maps two frames to the next, unrolled in time, with the loss of every predicted frame."""
    fig, ax = canvas(3.1 * steps + 5.6, 5.6, scale=0.46)
    names = ["u^{t-1}", "u^{t}", *(rf"\hat u^{{t+{k}}}" for k in range(1, steps + 1))]
    for number, name in enumerate(names):
        x, predicted = 1.4 + 3.1 * number, number > 1
        box(ax, x, 3.0, f"${name}$", width=1.3, color="#FBE3D3" if predicted else "#DCE9F5", size=11)
        if predicted:
            arrow(ax, (x, 4.55), (x, 3.42), color=QUIET)
            ax.text(x, 4.95, f"$u^{{t+{number - 1}}}$", ha="center", va="center", fontsize=11)
            ax.text(x + 0.15, 4.0, "loss", ha="left", va="center", fontsize=8, color=QUIET)
    for number in range(steps):
        x = 1.4 + 3.1 * (number + 1)
        box(ax, x, 0.9, "U-Net", width=1.6)
        arrow(ax, (x - 2.6, 2.6), (x - 0.7, 1.3))
        arrow(ax, (x, 2.6), (x, 1.3))
        arrow(ax, (x + 0.7, 1.3), (x + 2.6, 2.6), color="#D55E00")
    return fig
